package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic/dynamicinformer"
	clientinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/pager"
)

// soon waits for the condition, until the check's time is over.
func soon(ctx context.Context, what string, holds func() bool) error {
	err := wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true,
		func(context.Context) (bool, error) { return holds(), nil })
	if err != nil {
		return fmt.Errorf("waited for %s: %w", what, err)
	}
	return nil
}

func informers(ctx context.Context, w *world) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := streamedList(ctx, w); err != nil {
		return err
	}
	maps := w.clients.CoreV1().ConfigMaps(namespace)
	if _, err := maps.Create(ctx, configMapNamed("seen", nil), metav1.CreateOptions{}); err != nil {
		return err
	}
	typed := clientinformers.NewSharedInformerFactory(w.clients, 0)
	untyped := dynamicinformer.NewDynamicSharedInformerFactory(w.dynamic, 0)
	resource := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	informer := typed.Core().V1().ConfigMaps().Informer()
	other := untyped.ForResource(resource).Informer()
	var updates atomic.Int32
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(any, any) { updates.Add(1) },
	})
	if err != nil {
		return err
	}
	typed.Start(ctx.Done())
	untyped.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced, other.HasSynced) {
		return errors.New("the informers have not come up")
	}
	key := namespace + "/seen"
	for _, store := range []cache.Store{informer.GetStore(), other.GetStore()} {
		if _, exists, err := store.GetByKey(key); !exists || err != nil {
			return fmt.Errorf("the first list lacks %s: %v", key, err)
		}
	}
	changed := configMapNamed("seen", map[string]string{"n": "1"})
	if _, err := maps.Update(ctx, changed, metav1.UpdateOptions{}); err != nil {
		return err
	}
	err = soon(ctx, "the update", func() bool {
		object, exists, _ := other.GetStore().GetByKey(key)
		return updates.Load() > 0 && exists && object.(*unstructured.Unstructured).GetLabels()["n"] == "1"
	})
	if err != nil {
		return err
	}
	if err := maps.Delete(ctx, "seen", metav1.DeleteOptions{}); err != nil {
		return err
	}
	return soon(ctx, "the deletion", func() bool {
		_, exists, _ := informer.GetStore().GetByKey(key)
		return !exists
	})
}

// The list comes as events of the watch, and a bookmark says where it ends.
func streamedList(ctx context.Context, w *world) error {
	yes := true
	stream, err := w.clients.CoreV1().Namespaces().Watch(ctx, metav1.ListOptions{
		SendInitialEvents:    &yes,
		AllowWatchBookmarks:  true,
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	if err != nil {
		return err
	}
	defer stream.Stop()
	added := 0
	for event := range stream.ResultChan() {
		switch event.Type {
		case watch.Added:
			added++
		case watch.Bookmark:
			annotations := event.Object.(*corev1.Namespace).Annotations
			if annotations[metav1.InitialEventsAnnotationKey] != "true" {
				return fmt.Errorf("a bookmark with %v", annotations)
			}
			return expect(added >= 3, "%d namespaces before the bookmark", added)
		default:
			return fmt.Errorf("event %v", event)
		}
	}
	return errors.New("the watch ended before the bookmark")
}

func pagedLists(ctx context.Context, w *world) error {
	maps := w.clients.CoreV1().ConfigMaps(namespace)
	labels := map[string]string{"paged": "yes"}
	for n := range 7 {
		object := configMapNamed(fmt.Sprintf("paged-%d", n), labels)
		if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	pages := 0
	lister := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		pages++
		return maps.List(ctx, options)
	})
	lister.PageSize = 3
	seen := 0
	err := lister.EachListItem(ctx, metav1.ListOptions{LabelSelector: "paged=yes"},
		func(runtime.Object) error {
			seen++
			return nil
		})
	if err != nil {
		return err
	}
	if seen != 7 || pages != 3 {
		return fmt.Errorf("%d objects on %d pages", seen, pages)
	}
	return maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "paged=yes"})
}

// Two candidates: the second leads once the first has gone.
func leaderElection(ctx context.Context, w *world) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, stopFirst := context.WithCancel(ctx)
	defer stopFirst()
	began, ended := contend(first, w, "first")
	select {
	case <-began:
	case <-ctx.Done():
		return errors.New("the first has not come to lead")
	}
	second, _ := contend(ctx, w, "second")
	select {
	case <-second:
		return errors.New("both lead")
	case <-time.After(500 * time.Millisecond):
	}
	stopFirst()
	<-ended
	select {
	case <-second:
	case <-ctx.Done():
		return errors.New("the second has not come to lead")
	}
	lease, err := w.clients.CoordinationV1().Leases(namespace).Get(ctx, "leader", metav1.GetOptions{})
	if err != nil {
		return err
	}
	return expect(*lease.Spec.HolderIdentity == "second" && *lease.Spec.LeaseTransitions >= 1,
		"the lease is %v", lease.Spec)
}

// contend closes its channels when the candidate leads, and when it has given up.
func contend(ctx context.Context, w *world, identity string) (began, ended chan struct{}) {
	began, ended = make(chan struct{}), make(chan struct{})
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: "leader"},
		Client:     w.clients.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}
	go func() {
		defer close(ended)
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock:            lock,
			LeaseDuration:   15 * time.Second,
			RenewDeadline:   10 * time.Second,
			RetryPeriod:     200 * time.Millisecond,
			ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { close(began) },
				OnStoppedLeading: func() {},
			},
		})
	}()
	return began, ended
}
