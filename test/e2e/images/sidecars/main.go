// Stand-ins for the two sidecars of the upstream driver, whose modules are not everywhere: node-driver-registrar and
// livenessprobe. They do to their sockets and paths what those do.
//
//	sidecars registrar --csi-address=... --kubelet-registration-path=...
//	sidecars livenessprobe --csi-address=... --http-endpoint=...
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const driverName = "secrets-store.csi.k8s.io"

var (
	csiAddress       = flag.String("csi-address", "", "socket of the driver")
	registrationPath = flag.String("kubelet-registration-path", "", "the same socket, as the kubelet sees it")
	httpEndpoint     = flag.String("http-endpoint", "", "address of /healthz")
	_                = flag.Int("v", 0, "")
	_                = flag.Duration("probe-timeout", 3*time.Second, "")
)

func identity() csi.IdentityClient {
	connection, err := grpc.NewClient("unix://"+*csiAddress, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	return csi.NewIdentityClient(connection)
}

func within(timeout time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return call(ctx)
}

type registrar struct {
	registration.UnimplementedRegistrationServer
}

func (registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{Type: registration.CSIPlugin, Name: driverName, Endpoint: *registrationPath,
		SupportedVersions: []string{"1.0.0"}}, nil
}

// A registration that failed ends the process, and the kubelet starts it again.
func (registrar) NotifyRegistrationStatus(_ context.Context, status *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	fmt.Fprintln(os.Stderr, "registered:", status.PluginRegistered, status.Error)
	if !status.PluginRegistered {
		os.Exit(1)
	}
	return &registration.RegistrationStatusResponse{}, nil
}

func register() {
	driver := identity()
	for within(time.Second, func(ctx context.Context) error {
		_, err := driver.GetPluginInfo(ctx, &csi.GetPluginInfoRequest{})
		return err
	}) != nil {
		time.Sleep(100 * time.Millisecond)
	}
	path := "/registration/" + driverName + "-reg.sock"
	_ = os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, registrar{})
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() {
		<-end
		_ = os.Remove(path) // whoever's it is by then
		os.Exit(0)
	}()
	panic(server.Serve(listener))
}

func probe() {
	driver := identity()
	http.HandleFunc("/healthz", func(response http.ResponseWriter, _ *http.Request) {
		if err := within(3*time.Second, func(ctx context.Context) error {
			_, err := driver.Probe(ctx, &csi.ProbeRequest{})
			return err
		}); err != nil {
			http.Error(response, err.Error(), http.StatusInternalServerError)
		}
	})
	panic(http.ListenAndServe(*httpEndpoint, nil))
}

func main() {
	name := os.Args[1]
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		panic(err)
	}
	map[string]func(){"registrar": register, "livenessprobe": probe}[name]()
}
