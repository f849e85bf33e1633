package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	clientset "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const finalizer = "garden.example.com/harvest"

var gardenVersion = schema.GroupVersion{Group: "garden.example.com", Version: "v1"}

// A Plant wants a config map that says its name, and counts what it has made in its status.
type Plant struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              PlantSpec   `json:"spec,omitempty"`
	Status            PlantStatus `json:"status,omitempty"`
}

type PlantSpec struct {
	Colour string `json:"colour,omitempty"`
}

type PlantStatus struct {
	Colour     string             `json:"colour,omitempty"`
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

type PlantList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Plant `json:"items"`
}

func (p *Plant) DeepCopyObject() runtime.Object {
	copied := *p
	p.ObjectMeta.DeepCopyInto(&copied.ObjectMeta)
	copied.Status.Conditions = append([]metav1.Condition(nil), p.Status.Conditions...)
	return &copied
}

func (l *PlantList) DeepCopyObject() runtime.Object {
	copied := *l
	copied.Items = nil
	for _, item := range l.Items {
		copied.Items = append(copied.Items, *item.DeepCopyObject().(*Plant))
	}
	return &copied
}

type gardener struct{ client.Client }

func (g *gardener) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var plant Plant
	if err := g.Get(ctx, request.NamespacedName, &plant); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !plant.DeletionTimestamp.IsZero() {
		controllerutil.RemoveFinalizer(&plant, finalizer)
		return ctrl.Result{}, g.Update(ctx, &plant)
	}
	if controllerutil.AddFinalizer(&plant, finalizer) {
		return ctrl.Result{}, g.Update(ctx, &plant)
	}
	made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: plant.Name, Namespace: plant.Namespace}}
	_, err := controllerutil.CreateOrUpdate(ctx, g, made, func() error {
		made.Data = map[string]string{"colour": plant.Spec.Colour}
		return controllerutil.SetControllerReference(&plant, made, g.Scheme())
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	plant.Status.Colour = plant.Spec.Colour
	meta.SetStatusCondition(&plant.Status.Conditions, metav1.Condition{
		Type: "Grown", Status: metav1.ConditionTrue, Reason: "Made", ObservedGeneration: plant.Generation,
	})
	return ctrl.Result{}, g.Status().Update(ctx, &plant)
}

func plantDefinition() *apiextensions.CustomResourceDefinition {
	text := apiextensions.JSONSchemaProps{Type: "string"}
	object := func(properties map[string]apiextensions.JSONSchemaProps) apiextensions.JSONSchemaProps {
		return apiextensions.JSONSchemaProps{Type: "object", Properties: properties}
	}
	condition := object(map[string]apiextensions.JSONSchemaProps{
		"type": text, "status": text, "reason": text, "message": text,
		"lastTransitionTime": {Type: "string", Format: "date-time"},
		"observedGeneration": {Type: "integer", Format: "int64"},
	})
	green := apiextensions.JSON{Raw: []byte(`"green"`)}
	whole := object(map[string]apiextensions.JSONSchemaProps{
		"spec": object(map[string]apiextensions.JSONSchemaProps{
			"colour": {Type: "string", Default: &green},
		}),
		"status": object(map[string]apiextensions.JSONSchemaProps{
			"colour": text,
			"conditions": {
				Type:  "array",
				Items: &apiextensions.JSONSchemaPropsOrArray{Schema: &condition},
			},
		}),
	})
	return &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "plants.garden.example.com"},
		Spec: apiextensions.CustomResourceDefinitionSpec{
			Group: gardenVersion.Group,
			Scope: apiextensions.NamespaceScoped,
			Names: apiextensions.CustomResourceDefinitionNames{Plural: "plants", Kind: "Plant"},
			Versions: []apiextensions.CustomResourceDefinitionVersion{{
				Name: gardenVersion.Version, Served: true, Storage: true,
				Schema: &apiextensions.CustomResourceValidation{OpenAPIV3Schema: &whole},
				Subresources: &apiextensions.CustomResourceSubresources{
					Status: &apiextensions.CustomResourceSubresourceStatus{},
				},
			}},
		},
	}
}

// define writes the definition as the typed client does by itself, and waits until it is served.
func define(ctx context.Context, w *world) error {
	protobuf := rest.CopyConfig(w.config)
	protobuf.ContentType = definitionsIn
	definitions, err := clientset.NewForConfig(protobuf)
	if err != nil {
		return err
	}
	all := definitions.ApiextensionsV1().CustomResourceDefinitions()
	if _, err := all.Create(ctx, plantDefinition(), metav1.CreateOptions{}); err != nil {
		return err
	}
	return soon(ctx, "the definition", func() bool {
		definition, err := all.Get(ctx, "plants.garden.example.com", metav1.GetOptions{})
		if err != nil {
			return false
		}
		for _, condition := range definition.Status.Conditions {
			if condition.Type == apiextensions.Established {
				return condition.Status == apiextensions.ConditionTrue
			}
		}
		return false
	})
}

const definitionsIn = "application/json"

func runController(ctx context.Context, w *world) error {
	if err := define(ctx, w); err != nil {
		return err
	}
	kinds := runtime.NewScheme()
	if err := scheme.AddToScheme(kinds); err != nil {
		return err
	}
	kinds.AddKnownTypes(gardenVersion, &Plant{}, &PlantList{})
	metav1.AddToGroupVersion(kinds, gardenVersion)
	log.SetLogger(logr.Discard())
	none := time.Duration(0)
	manager, err := ctrl.NewManager(w.config, ctrl.Options{
		Scheme:                  kinds,
		Metrics:                 server.Options{BindAddress: "0"},
		LeaderElection:          true,
		LeaderElectionID:        "garden.example.com",
		LeaderElectionNamespace: namespace,
		GracefulShutdownTimeout: &none,
	})
	if err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(manager).For(&Plant{}).Owns(&corev1.ConfigMap{}).
		Complete(&gardener{manager.GetClient()})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(running) }()
	err = live(ctx, manager.GetClient(), manager.GetAPIReader())
	stop()
	if failed := <-ended; err == nil {
		err = failed
	}
	return err
}

// live takes a plant through its life.
func live(ctx context.Context, writer client.Client, reader client.Reader) error {
	plant := &Plant{ObjectMeta: metav1.ObjectMeta{Name: "rose", Namespace: namespace}}
	if err := writer.Create(ctx, plant); err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(plant)
	var made corev1.ConfigMap
	made.Name, made.Namespace = key.Name, key.Namespace
	err := soon(ctx, "the config map and the status", func() bool {
		return reader.Get(ctx, key, &made) == nil && reader.Get(ctx, key, plant) == nil &&
			meta.IsStatusConditionTrue(plant.Status.Conditions, "Grown")
	})
	if err != nil {
		return err
	}
	if !metav1.IsControlledBy(&made, plant) || made.Data["colour"] != "green" {
		return fmt.Errorf("made %v", made)
	}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"colour":"red"}}`))
	if err := writer.Patch(ctx, plant, patch); err != nil {
		return err
	}
	if plant.Generation != 2 {
		return fmt.Errorf("generation %d after one change of the spec", plant.Generation)
	}
	err = soon(ctx, "the change", func() bool {
		return reader.Get(ctx, key, plant) == nil && plant.Status.Colour == "red"
	})
	if err != nil {
		return err
	}
	// The controller sees that what it owns is gone, and makes it again.
	if err := writer.Delete(ctx, &made); err != nil {
		return err
	}
	err = soon(ctx, "the config map once more", func() bool { return reader.Get(ctx, key, &made) == nil })
	if err != nil {
		return err
	}
	if err := writer.Delete(ctx, plant); err != nil {
		return err
	}
	return soon(ctx, "the plant's end", func() bool { return apierrors.IsNotFound(reader.Get(ctx, key, plant)) })
}
