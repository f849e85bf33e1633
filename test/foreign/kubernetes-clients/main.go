// Drives an apiserver with Kubernetes' own client libraries for Go, unchanged. Takes the path of a
// kubeconfig, and the name of a running pod with a shell; writes one line of JSON for each check.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// How long one check may take.
const checkTimeout = 30 * time.Second

const namespace = "default"

// What the checks share.
type world struct {
	config *rest.Config
	// Speaks protobuf.
	clients kubernetes.Interface
	dynamic dynamic.Interface
	pod     string
}

type check struct {
	name string
	run  func(context.Context, *world) error
}

var checks = []check{
	{"typed CRUD in protobuf", typedCRUD},
	{"conflicts and preconditions", conflicts},
	{"deleting a collection", deleteCollection},
	{"binding and eviction", bindAndEvict},
	{"the dynamic client", dynamicCRUD},
	{"server-side apply with apply configurations", applyConfigurations},
	{"discovery and the REST mapper", discover},
	{"informers that stream their first list", informers},
	{"paged lists", pagedLists},
	{"leader election", leaderElection},
	{"exec over WebSocket, with its fallback", execute},
	{"port-forward", forwardPorts},
	{"logs", readLogs},
	{"a controller of custom resources", runController},
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: kubernetes-clients KUBECONFIG POD")
		os.Exit(2)
	}
	w, err := newWorld(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	lines := json.NewEncoder(os.Stdout)
	for _, each := range checks {
		outcome := map[string]string{"name": each.name}
		if err := runCheck(each, w); err != nil {
			outcome["error"] = err.Error()
		}
		if err := lines.Encode(outcome); err != nil {
			os.Exit(2)
		}
	}
}

func runCheck(each check, w *world) error {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	return each.run(ctx, w)
}

func newWorld(kubeconfig, pod string) (*world, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	protobuf := rest.CopyConfig(config)
	protobuf.ContentType = "application/vnd.kubernetes.protobuf"
	protobuf.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	clients, err := kubernetes.NewForConfig(protobuf)
	if err != nil {
		return nil, err
	}
	return &world{config, clients, untyped, pod}, nil
}

// expect is an error of its own words unless the condition holds.
func expect(holds bool, words string, values ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(words, values...)
}
