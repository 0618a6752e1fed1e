package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"agentprocess/internal/audit"
	"agentprocess/internal/policy"
	"agentprocess/internal/scripted"
)

// bare is a codec of gRPC whose messages are bytes.
type bare struct{}

// Marshal implements encoding.Codec.
func (bare) Marshal(v any) ([]byte, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("a message is a %T", v)
	}
	return *b, nil
}

// Unmarshal implements encoding.Codec.
func (bare) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("a message is a %T", v)
	}
	*b = bytes.Clone(data)
	return nil
}

// Name implements encoding.Codec.
func (bare) Name() string { return "bare" }

// echoUnary answers with what it was sent and by whom, or with the status that
// was asked for.
//
//nolint:revive // grpc.MethodHandler puts the context there
func echoUnary(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var in []byte
	if err := decode(&in); err != nil {
		return nil, err
	}
	if string(in) == "fail" {
		return nil, status.Error(codes.NotFound, "there is no such thing: 100 %")
	}
	md, _ := metadata.FromIncomingContext(ctx)
	_, timed := ctx.Deadline()
	return &in, grpc.SetTrailer(ctx, metadata.Pairs("who", strings.Join(md.Get("authorization"), ","), "timed", fmt.Sprint(timed)))
}

// echoStream says hello in its header, then echoes until the client is done.
func echoStream(cancelled chan<- struct{}) grpc.StreamHandler {
	return func(_ any, s grpc.ServerStream) error {
		if err := s.SendHeader(metadata.Pairs("hello", "yes")); err != nil {
			return err
		}
		for n := 0; ; n++ {
			var in []byte
			err := s.RecvMsg(&in)
			switch {
			case errors.Is(err, io.EOF):
				s.SetTrailer(metadata.Pairs("count", fmt.Sprint(n)))
				return nil
			case err != nil:
				<-s.Context().Done()
				close(cancelled)
				return err
			}
			if err := s.SendMsg(&in); err != nil {
				return err
			}
		}
	}
}

const grpcService = "test.Echo"

// newGRPC serves the service behind TLS for a name.
func newGRPC(t *testing.T, by *scripted.Authority, cancelled chan<- struct{}) net.Addr {
	t.Helper()
	cert, err := by.Certificate("example.com")
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	s := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)), grpc.ForceServerCodec(bare{}))
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: grpcService, HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: echoUnary}, {MethodName: "Forbidden", Handler: echoUnary}},
		Streams: []grpc.StreamDesc{{StreamName: "Chat", Handler: echoStream(cancelled), ServerStreams: true, ClientStreams: true}},
	}, nil)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr()
}

// TestGRPC speaks gRPC through the gateway: by a tunnel, with requests judged
// one by one, and with a credential swapped in.
func TestGRPC(t *testing.T) {
	authority, err := scripted.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, rules string
		credential  bool
	}{
		{"tunnelled", "example.com", false},
		{"judged", "example.com/test.Echo/Unary POST\nexample.com/test.Echo/Chat POST", false},
		{"with a credential", "example.com", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cancelled := make(chan struct{})
			address := newGRPC(t, authority, cancelled)
			g := newGateway(t, tt.rules, func(c *Config) {
				to(t, c, "example.com", address.String())
				c.UpstreamRoots = poolOf(t, authority.PEM())
				if tt.credential {
					c.Credentials = []Credential{{Host: "example.com", Header: "Authorization", Prefix: "Bearer ", Placeholder: placeholder, Secret: policy.NewSecret(realToken)}}
				}
			})
			roots := poolOf(t, authority.PEM())
			if pem := g.CAPEM(); pem != nil {
				roots = poolOf(t, pem)
			}
			client, err := grpc.NewClient("passthrough:///example.com:443",
				grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})),
				grpc.WithDefaultCallOptions(grpc.ForceCodec(bare{})),
				grpc.WithContextDialer(func(_ context.Context, target string) (net.Conn, error) {
					conn, code, body := g.connect(t, target)
					if code != 200 {
						return nil, fmt.Errorf("%d %s", code, body)
					}
					return conn, nil
				}))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			calls(t, client, tt.credential)
			chats(t, client, cancelled)
			var refused []byte
			err = client.Invoke(t.Context(), "/"+grpcService+"/Forbidden", &refused, &refused)
			if judged := tt.name == "judged"; judged != (status.Code(err) == codes.PermissionDenied) || !judged && err != nil {
				t.Errorf("a method beside those that are listed, judged %t: %v", judged, err)
			}
			if tt.name == "judged" {
				if r := g.records.next(t, denials); r.URLPath != "/test.Echo/Forbidden" || r.Fix != "example.com/test.Echo/Forbidden POST" {
					t.Errorf("recorded %+v", r)
				}
				g.records.next(t, func(q audit.Request) bool {
					return q.URLPath == "/test.Echo/Chat" && q.Status == 200 && q.Up > 0 && q.Down > 0
				})
			}
		})
	}
}

// calls makes unary calls.
func calls(t *testing.T, client *grpc.ClientConn, credential bool) {
	t.Helper()
	token := "anything"
	want := token
	if credential {
		token, want = placeholder, placeholder // what it echoes of the real one is masked
	}
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token), patience)
	defer cancel()
	for _, size := range []int{0, 5, 3 << 20} {
		in, out := bytes.Repeat([]byte{0xff}, size), []byte(nil)
		var trailer metadata.MD
		if err := client.Invoke(ctx, "/"+grpcService+"/Unary", &in, &out, grpc.Trailer(&trailer)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(in, out) || fmt.Sprint(trailer.Get("who")) != "[Bearer "+want+"]" || fmt.Sprint(trailer.Get("timed")) != "[true]" {
			t.Errorf("%d bytes came back as %d, trailer %v", size, len(out), trailer)
		}
	}
	in, out := []byte("fail"), []byte(nil)
	err := client.Invoke(ctx, "/"+grpcService+"/Unary", &in, &out)
	if s := status.Convert(err); s.Code() != codes.NotFound || s.Message() != "there is no such thing: 100 %" {
		t.Errorf("a status came as %v", err)
	}
}

// chats speaks both ways at once, each message sent only after the one before
// has come back, and leaves a second talk in the middle.
func chats(t *testing.T, client *grpc.ClientConn, cancelled <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	s, err := client.NewStream(ctx, desc, "/"+grpcService+"/Chat")
	if err != nil {
		t.Fatal(err)
	}
	if header, err := s.Header(); err != nil || fmt.Sprint(header.Get("hello")) != "[yes]" {
		t.Fatalf("header %v before any message, %v", header, err)
	}
	for i := range 50 {
		in, out := fmt.Appendf(nil, "message %d", i), []byte(nil)
		if err := s.SendMsg(&in); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(&out); err != nil || !bytes.Equal(in, out) {
			t.Fatalf("%q came back as %q, %v", in, out, err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var out []byte
	if err := s.RecvMsg(&out); !errors.Is(err, io.EOF) || fmt.Sprint(s.Trailer().Get("count")) != "[50]" {
		t.Errorf("it ended with %v, trailer %v", err, s.Trailer())
	}
	leave, left := context.WithCancel(ctx)
	if s, err = client.NewStream(leave, desc, "/"+grpcService+"/Chat"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	left()
	select {
	case <-cancelled:
	case <-ctx.Done():
		t.Error("the host was not told that the client has gone")
	}
}
