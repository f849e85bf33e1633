// Makes calls with clients generated from Trireme's contracts. Each line of standard input is a call
// as JSON, each line of standard output its answer: see ../program.ts for both.
//
// The standard packages for google.rpc, health and reflection are linked as well, so that a contract
// registered twice would end the program at its start.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	appsv1 "trireme.io/clients/api/trireme/apps/v1"
	clusterv1 "trireme.io/clients/api/trireme/cluster/v1"
	coordinationv1 "trireme.io/clients/api/trireme/coordination/v1"
	corev1 "trireme.io/clients/api/trireme/core/v1"
	dynamicv1 "trireme.io/clients/api/trireme/dynamic/v1"
	nodev1 "trireme.io/clients/api/trireme/node/v1"
)

type call struct {
	Method         string            `json:"method"`
	Requests       []json.RawMessage `json:"requests"`
	Metadata       map[string]string `json:"metadata"`
	DeadlineMillis int               `json:"deadlineMillis"`
	Take           int               `json:"take"`
}

type detail struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

type answer struct {
	Code      int               `json:"code"`
	Message   string            `json:"message"`
	Details   []detail          `json:"details"`
	Responses []json.RawMessage `json:"responses"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: client HOST:PORT CA CERTIFICATE KEY")
	}
	transport, err := credentialsOf(args[1], args[2], args[3])
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient(args[0], grpc.WithTransportCredentials(transport))
	if err != nil {
		return err
	}
	defer connection.Close()
	clients := clientsOf(connection)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var next call
		if err := json.Unmarshal(lines.Bytes(), &next); err != nil {
			return err
		}
		result, err := invoke(clients, next)
		if err != nil {
			return fmt.Errorf("%s: %w", next.Method, err)
		}
		text, err := json.Marshal(result)
		if err != nil {
			return err
		}
		fmt.Println(string(text))
	}
	return lines.Err()
}

func credentialsOf(ca, certificate, key string) (credentials.TransportCredentials, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", ca)
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}), nil
}

// Generated clients, by the full name of their service.
func clientsOf(connection grpc.ClientConnInterface) map[string]any {
	return map[string]any{
		"grpc.health.v1.Health":                    healthpb.NewHealthClient(connection),
		"grpc.reflection.v1.ServerReflection":      reflectionv1.NewServerReflectionClient(connection),
		"grpc.reflection.v1alpha.ServerReflection": reflectionpb.NewServerReflectionClient(connection),
		"trireme.apps.v1.Deployments":              appsv1.NewDeploymentsClient(connection),
		"trireme.apps.v1.ReplicaSets":              appsv1.NewReplicaSetsClient(connection),
		"trireme.cluster.v1.Cluster":               clusterv1.NewClusterClient(connection),
		"trireme.coordination.v1.Leases":           coordinationv1.NewLeasesClient(connection),
		"trireme.core.v1.ConfigMaps":               corev1.NewConfigMapsClient(connection),
		"trireme.core.v1.Namespaces":               corev1.NewNamespacesClient(connection),
		"trireme.core.v1.Nodes":                    corev1.NewNodesClient(connection),
		"trireme.core.v1.Pods":                     corev1.NewPodsClient(connection),
		"trireme.core.v1.Services":                 corev1.NewServicesClient(connection),
		"trireme.dynamic.v1.Dynamic":               dynamicv1.NewDynamicClient(connection),
		"trireme.node.v1.NodeLivenesses":           nodev1.NewNodeLivenessesClient(connection),
	}
}

// Calls the generated method by its name. The errors returned are faults of the caller: what the
// server says is in the answer.
func invoke(clients map[string]any, next call) (answer, error) {
	service, name, _ := strings.Cut(next.Method, "/")
	client, known := clients[service]
	if !known {
		return answer{}, errors.New("no such service")
	}
	method := reflect.ValueOf(client).MethodByName(name)
	if !method.IsValid() {
		return answer{}, errors.New("no such method")
	}
	deadline := time.Duration(next.DeadlineMillis) * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(next.Metadata))
	arguments := []reflect.Value{reflect.ValueOf(ctx)}
	// Methods that stream their requests take a context and options, all others a request, too.
	sends := method.Type().NumIn() == 2
	if !sends {
		if len(next.Requests) != 1 {
			return answer{}, errors.New("one request is wanted")
		}
		request := reflect.New(method.Type().In(1).Elem())
		if err := parse(next.Requests[0], request); err != nil {
			return answer{}, err
		}
		arguments = append(arguments, request)
	}
	results := method.Call(arguments)
	if err, _ := results[1].Interface().(error); err != nil {
		return failure(nil, err)
	}
	if response, unary := results[0].Interface().(proto.Message); unary {
		return success(response)
	}
	if sends {
		if err := send(results[0], next.Requests); err != nil {
			return answer{}, err
		}
	}
	return receive(results[0], next.Take)
}

func parse(text json.RawMessage, target reflect.Value) error {
	return protojson.Unmarshal(text, target.Interface().(proto.Message))
}

func send(stream reflect.Value, requests []json.RawMessage) error {
	method := stream.MethodByName("Send")
	for _, text := range requests {
		request := reflect.New(method.Type().In(0).Elem())
		if err := parse(text, request); err != nil {
			return err
		}
		if err, _ := method.Call([]reflect.Value{request})[0].Interface().(error); err != nil {
			return err
		}
	}
	err, _ := stream.MethodByName("CloseSend").Call(nil)[0].Interface().(error)
	return err
}

// Reads until the stream ends or `take` messages have come; 0: until it ends.
func receive(stream reflect.Value, take int) (answer, error) {
	responses := []proto.Message{}
	for take == 0 || len(responses) < take {
		results := stream.MethodByName("Recv").Call(nil)
		if err, _ := results[1].Interface().(error); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return failure(responses, err)
		}
		responses = append(responses, results[0].Interface().(proto.Message))
	}
	return success(responses...)
}

func success(responses ...proto.Message) (answer, error) {
	texts, err := textsOf(responses)
	return answer{Code: int(codes.OK), Details: []detail{}, Responses: texts}, err
}

func failure(responses []proto.Message, err error) (answer, error) {
	// What grpc-status-details-bin held is a google.rpc.Status of the standard package.
	var model *spb.Status = status.Convert(err).Proto()
	details := []detail{}
	for _, each := range model.GetDetails() {
		message, err := each.UnmarshalNew()
		if err != nil {
			return answer{}, err
		}
		text, err := protojson.Marshal(message)
		if err != nil {
			return answer{}, err
		}
		details = append(details, detail{Type: string(message.ProtoReflect().Descriptor().FullName()), Value: text})
	}
	texts, err := textsOf(responses)
	return answer{Code: int(model.GetCode()), Message: model.GetMessage(), Details: details, Responses: texts}, err
}

func textsOf(messages []proto.Message) ([]json.RawMessage, error) {
	texts := []json.RawMessage{}
	for _, each := range messages {
		text, err := protojson.Marshal(each)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}
