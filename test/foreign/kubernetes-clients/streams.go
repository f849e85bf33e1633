package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
)

func (w *world) podRequest(subresource string) *rest.Request {
	return w.clients.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(namespace).Name(w.pod).SubResource(subresource)
}

func execute(ctx context.Context, w *world) error {
	address := w.podRequest("exec").VersionedParams(&corev1.PodExecOptions{
		Command: []string{"sh", "-c", "cat; echo complaint >&2; exit 3"},
		Stdin:   true,
		Stdout:  true,
		Stderr:  true,
	}, scheme.ParameterCodec).URL()
	overWebSocket, err := remotecommand.NewWebSocketExecutor(w.config, "GET", address.String())
	if err != nil {
		return err
	}
	overSPDY, err := remotecommand.NewSPDYExecutor(w.config, "POST", address)
	if err != nil {
		return err
	}
	either, err := remotecommand.NewFallbackExecutor(overWebSocket, overSPDY, httpstream.IsUpgradeFailure)
	if err != nil {
		return err
	}
	for name, executor := range map[string]remotecommand.Executor{
		"WebSocket": overWebSocket, "SPDY": overSPDY, "either": either,
	} {
		var out, complaint bytes.Buffer
		err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{
			Stdin: strings.NewReader("in"), Stdout: &out, Stderr: &complaint,
		})
		var code exec.CodeExitError
		if !errors.As(err, &code) || code.Code != 3 {
			return fmt.Errorf("%s: ended with %v", name, err)
		}
		if out.String() != "in" || complaint.String() != "complaint\n" {
			return fmt.Errorf("%s: wrote %q and %q", name, out.String(), complaint.String())
		}
	}
	return nil
}

// The pod answers HTTP on port 8080.
func forwardPorts(ctx context.Context, w *world) error {
	address := w.podRequest("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(w.config)
	if err != nil {
		return err
	}
	overSPDY := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", address)
	overWebSocket, err := portforward.NewSPDYOverWebsocketDialer(address, w.config)
	if err != nil {
		return err
	}
	for name, dialer := range map[string]httpstream.Dialer{"WebSocket": overWebSocket, "SPDY": overSPDY} {
		if err := forwardOver(ctx, dialer); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func forwardOver(ctx context.Context, dialer httpstream.Dialer) error {
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.New(dialer, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		return fmt.Errorf("not forwarded: %v", err)
	case <-ctx.Done():
		return ctx.Err()
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return err
	}
	for range 3 {
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", ports[0].Local))
		if err != nil {
			return err
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || string(body) != "served\n" {
			return fmt.Errorf("answered %q, %v", body, err)
		}
	}
	close(stop)
	return <-ended
}

func readLogs(ctx context.Context, w *world) error {
	pods := w.clients.CoreV1().Pods(namespace)
	one := int64(1)
	text, err := pods.GetLogs(w.pod, &corev1.PodLogOptions{TailLines: &one}).DoRaw(ctx)
	if err != nil {
		return err
	}
	if string(text) != "ready\n" {
		return fmt.Errorf("the last line is %q", text)
	}
	stream, err := pods.GetLogs(w.pod, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	begin := make([]byte, len("starting\n"))
	if _, err := io.ReadFull(stream, begin); err != nil {
		return err
	}
	return expect(string(begin) == "starting\n", "the log begins with %q", begin)
}
