package main

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
)

func deploymentNamed(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "busybox"}}},
			},
		},
	}
}

func configMapNamed(name string, labels map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func typedCRUD(ctx context.Context, w *world) error {
	deployments := w.clients.AppsV1().Deployments(namespace)
	made, err := deployments.Create(ctx, deploymentNamed("typed"), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if made.Spec.Replicas == nil || *made.Spec.Replicas != 1 || made.UID == "" {
		return fmt.Errorf("created without defaults: %v", made)
	}
	made.Spec.Template.Spec.Containers[0].Image = "node"
	changed, err := deployments.Update(ctx, made, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	if changed.Generation != 2 {
		return fmt.Errorf("generation %d after the first update", changed.Generation)
	}
	changed.Status.ObservedGeneration = 2
	if _, err := deployments.UpdateStatus(ctx, changed, metav1.UpdateOptions{}); err != nil {
		return err
	}
	scale, err := deployments.GetScale(ctx, "typed", metav1.GetOptions{})
	if err != nil {
		return err
	}
	scale.Spec.Replicas = 3
	if _, err := deployments.UpdateScale(ctx, "typed", scale, metav1.UpdateOptions{}); err != nil {
		return err
	}
	patch := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"c","env":[{"name":"A","value":"B"}]}]}}}}`)
	patched, err := deployments.Patch(ctx, "typed", types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return err
	}
	container := patched.Spec.Template.Spec.Containers[0]
	if *patched.Spec.Replicas != 3 || container.Image != "node" || len(container.Env) != 1 {
		return fmt.Errorf("patched to %v", patched.Spec)
	}
	list, err := deployments.List(ctx, metav1.ListOptions{LabelSelector: "app=typed"})
	if err != nil {
		return err
	}
	if len(list.Items) != 1 || list.Items[0].Status.ObservedGeneration != 2 {
		return fmt.Errorf("listed %v", list.Items)
	}
	if err := deployments.Delete(ctx, "typed", metav1.DeleteOptions{}); err != nil {
		return err
	}
	_, err = deployments.Get(ctx, "typed", metav1.GetOptions{})
	return expect(apierrors.IsNotFound(err), "after its deletion: %v", err)
}

func conflicts(ctx context.Context, w *world) error {
	maps := w.clients.CoreV1().ConfigMaps(namespace)
	made, err := maps.Create(ctx, configMapNamed("contested", nil), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = maps.Create(ctx, configMapNamed("contested", nil), metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("created twice: %v", err)
	}
	newer := made.DeepCopy()
	newer.Data = map[string]string{"a": "b"}
	if _, err := maps.Update(ctx, newer, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if _, err := maps.Update(ctx, made, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		return fmt.Errorf("updated what was older: %v", err)
	}
	other := types.UID("other")
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &other}}
	if err := maps.Delete(ctx, "contested", options); !apierrors.IsConflict(err) {
		return fmt.Errorf("deleted another object: %v", err)
	}
	_, err = maps.Create(ctx, configMapNamed("Not_A_Name", nil), metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) {
		return fmt.Errorf("created under a bad name: %v", err)
	}
	return maps.Delete(ctx, "contested", metav1.DeleteOptions{})
}

func deleteCollection(ctx context.Context, w *world) error {
	maps := w.clients.CoreV1().ConfigMaps(namespace)
	for _, name := range []string{"many-1", "many-2"} {
		labels := map[string]string{"many": "yes"}
		if _, err := maps.Create(ctx, configMapNamed(name, labels), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	selected := metav1.ListOptions{LabelSelector: "many=yes"}
	if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, selected); err != nil {
		return err
	}
	list, err := maps.List(ctx, selected)
	if err != nil {
		return err
	}
	return expect(len(list.Items) == 0, "left %v", list.Items)
}

func bindAndEvict(ctx context.Context, w *world) error {
	pods := w.clients.CoreV1().Pods(namespace)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "bound"},
		Spec: corev1.PodSpec{
			SchedulerName: "nobody",
			Containers:    []corev1.Container{{Name: "c", Image: "busybox"}},
		},
	}
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return err
	}
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: "bound", Annotations: map[string]string{"by": "hand"}},
		Target:     corev1.ObjectReference{Kind: "Node", Name: "absent"},
	}
	if err := pods.Bind(ctx, binding, metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := pods.Bind(ctx, binding, metav1.CreateOptions{}); !apierrors.IsConflict(err) {
		return fmt.Errorf("bound twice: %v", err)
	}
	bound, err := pods.Get(ctx, "bound", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if bound.Spec.NodeName != "absent" || bound.Annotations["by"] != "hand" {
		return fmt.Errorf("bound as %v", bound)
	}
	zero := int64(0)
	return pods.EvictV1(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Name: "bound"},
		DeleteOptions: &metav1.DeleteOptions{GracePeriodSeconds: &zero},
	})
}

func dynamicCRUD(ctx context.Context, w *world) error {
	services := w.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "services"})
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Service",
		"metadata":   map[string]any{"name": "untyped"},
		"spec":       map[string]any{"ports": []any{map[string]any{"port": int64(80)}}},
	}}
	made, err := services.Namespace(namespace).Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	address, _, _ := unstructured.NestedString(made.Object, "spec", "clusterIP")
	if address == "" {
		return fmt.Errorf("made without an address: %v", made.Object)
	}
	patch := []byte(`[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]`)
	patched, err := services.Namespace(namespace).Patch(
		ctx, "untyped", types.JSONPatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return err
	}
	if patched.GetLabels()["a"] != "b" {
		return fmt.Errorf("patched to %v", patched.GetLabels())
	}
	all, err := services.List(ctx, metav1.ListOptions{LabelSelector: "a=b"})
	if err != nil {
		return err
	}
	if len(all.Items) != 1 {
		return fmt.Errorf("listed %d", len(all.Items))
	}
	return services.Namespace(namespace).Delete(ctx, "untyped", metav1.DeleteOptions{})
}

func applyConfigurations(ctx context.Context, w *world) error {
	maps := w.clients.CoreV1().ConfigMaps(namespace)
	mine := coreapply.ConfigMap("applied", namespace).WithData(map[string]string{"a": "1"})
	if _, err := maps.Apply(ctx, mine, metav1.ApplyOptions{FieldManager: "mine"}); err != nil {
		return err
	}
	theirs := coreapply.ConfigMap("applied", namespace).WithData(map[string]string{"a": "2"})
	_, err := maps.Apply(ctx, theirs, metav1.ApplyOptions{FieldManager: "theirs"})
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "mine": .data.a`) {
		return fmt.Errorf("applied what is another's: %v", err)
	}
	forced := metav1.ApplyOptions{FieldManager: "theirs", Force: true}
	applied, err := maps.Apply(ctx, theirs, forced)
	if err != nil {
		return err
	}
	if applied.Data["a"] != "2" {
		return fmt.Errorf("applied as %v", applied.Data)
	}
	extracted, err := coreapply.ExtractConfigMap(applied, "theirs")
	if err != nil {
		return err
	}
	if extracted.Data["a"] != "2" {
		return fmt.Errorf("extracted %v", extracted)
	}
	labels := map[string]string{"app": "applied"}
	deployment := appsapply.Deployment("applied", namespace).WithSpec(appsapply.DeploymentSpec().
		WithSelector(metaapply.LabelSelector().WithMatchLabels(labels)).
		WithTemplate(coreapply.PodTemplateSpec().WithLabels(labels).
			WithSpec(coreapply.PodSpec().WithContainers(
				coreapply.Container().WithName("c").WithImage("busybox")))))
	deployments := w.clients.AppsV1().Deployments(namespace)
	made, err := deployments.Apply(ctx, deployment, metav1.ApplyOptions{FieldManager: "mine"})
	if err != nil {
		return err
	}
	fields, err := appsapply.ExtractDeployment(made, "mine")
	if err != nil {
		return err
	}
	if fields.Spec == nil || fields.Spec.Replicas != nil {
		return fmt.Errorf("owns more than it applied: %v", fields.Spec)
	}
	if err := deployments.Delete(ctx, "applied", metav1.DeleteOptions{}); err != nil {
		return err
	}
	return maps.Delete(ctx, "applied", metav1.DeleteOptions{})
}

func discover(_ context.Context, w *world) error {
	client := w.clients.Discovery()
	version, err := client.ServerVersion()
	if err != nil {
		return err
	}
	if version.Major != "1" {
		return fmt.Errorf("version %v", version)
	}
	_, resources, err := client.ServerGroupsAndResources()
	if err != nil {
		return err
	}
	if len(discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"watch"}}, resources)) < 5 {
		return fmt.Errorf("discovered %v", resources)
	}
	if _, err := client.OpenAPISchema(); err != nil {
		return fmt.Errorf("OpenAPI v2: %w", err)
	}
	paths, err := client.OpenAPIV3().Paths()
	if err != nil {
		return err
	}
	if _, ok := paths["apis/apps/v1"]; !ok {
		return fmt.Errorf("OpenAPI v3 has no apps/v1: %v", paths)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client))
	mapper2 := restmapper.NewShortcutExpander(mapper, memory.NewMemCacheClient(client), nil)
	kind, err := mapper2.KindFor(schema.GroupVersionResource{Resource: "deploy"})
	if err != nil {
		return err
	}
	if kind != (schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}) {
		return fmt.Errorf("deploy is %v", kind)
	}
	mapping, err := mapper.RESTMapping(schema.GroupKind{Kind: "Node"})
	if err != nil {
		return err
	}
	return expect(mapping.Scope.Name() == "root", "Node has the scope %v", mapping.Scope.Name())
}
