// envoy-check reads an Envoy bootstrap configuration as Envoy would: every field and typed extension
// must be known, and every value within the bounds that Envoy's own protos state.
package main

import (
	"bytes"
	"fmt"
	"os"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	// Extensions are known by being linked: those that docker/envoy.yaml names.
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
)

// validator is what protoc-gen-validate gives every message.
type validator interface{ ValidateAll() error }

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: envoy-check FILE"))
	}
	text, err := os.ReadFile(os.Args[1])
	fail(err)
	if bytes.Contains(text, []byte("<<:")) {
		fail(fmt.Errorf("a merge key (<<): Envoy's parser has none"))
	}
	document, err := yaml.YAMLToJSONStrict(text)
	fail(err)
	config := &bootstrap.Bootstrap{}
	fail(protojson.Unmarshal(document, config))
	fail(validate(config))
	fmt.Println("OK")
}

// validate also looks into what is packed: a message's own rules stop at an Any.
func validate(message proto.Message) error {
	if checked, ok := message.(validator); ok {
		if err := checked.ValidateAll(); err != nil {
			return fmt.Errorf("%s: %w", message.ProtoReflect().Descriptor().FullName(), err)
		}
	}
	return protorange.Range(message.ProtoReflect(), func(at protopath.Values) error {
		packed, ok := at.Index(-1).Value.Interface().(protoreflect.Message)
		if !ok {
			return nil
		}
		any, ok := packed.Interface().(*anypb.Any)
		if !ok {
			return nil
		}
		inner, err := any.UnmarshalNew()
		if err != nil {
			return err
		}
		if err := validate(inner); err != nil {
			return err
		}
		return protorange.Break
	})
}

func fail(err error) {
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
