package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

const (
	// window is small so that a key is answered beside streaming thumbnails on a slow link: ping 39 ms against 490 ms with
	// 4 MiB (measured, 1 Mbit/s).
	window = 256 << 10
	// maxMessage holds a ranking of a few hundred thousand images.
	maxMessage = 64 << 20
)

// NewServer returns a gRPC server with the link's windows, limits and keepalive. A panic in a handler is logged and becomes
// an error of that call; the engine lives on.
func NewServer() *grpc.Server {
	return grpc.NewServer(
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 30 * time.Second}),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (reply any, err error) {
			defer recoverCall(info.FullMethod, &err)
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
			defer recoverCall(info.FullMethod, &err)
			return next(srv, stream)
		}),
	)
}

func recoverCall(method string, err *error) {
	if r := recover(); r != nil {
		slog.Error("a call failed", "method", method, "panic", r, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "the engine met an error of its own; engine.log in the project says more")
	}
}

// Client is the link to the engine of a project. Calls on it are safe for concurrent use; after the engine or the line
// was gone it connects again by itself.
type Client struct {
	EngineClient
	Conn *grpc.ClientConn
}

// Close ends the link, not the engine.
func (c *Client) Close() error { return c.Conn.Close() }

// NewClient returns a client over whatever dial connects to, and connects at the first call. dial is called again, with
// waits of 0.1 to 2 s between, when a connection ended.
func NewClient(dial func(context.Context) (net.Conn, error)) (*Client, error) {
	conn, err := grpc.NewClient("passthrough:///engine",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		grpc.WithNoProxy(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the socket's folder, or ssh, is the guard
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 20 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 10 * time.Second,
		}),
		grpc.WithIdleTimeout(0), // an idle session keeps its line
	)
	if err != nil {
		return nil, fmt.Errorf("cannot set up the link to the engine: %w", err)
	}
	return &Client{EngineClient: NewEngineClient(conn), Conn: conn}, nil
}

// OnConn returns a client over one connection. When that ends, so does the client: calls on it fail.
func OnConn(conn net.Conn) (*Client, error) {
	var taken atomic.Bool
	c, err := NewClient(func(context.Context) (net.Conn, error) {
		if taken.Swap(true) {
			return nil, errors.New("the connection has ended")
		}
		return conn, nil
	})
	if err != nil {
		return nil, err
	}
	c.Conn.Connect()
	return c, nil
}

// Dial connects to the engine of a project on this machine: [Finder.Dial].
func Dial(ctx context.Context, project string) (*Client, error) {
	return Finder{}.Dial(ctx, project)
}

// Dial connects to the engine of a project, and again wherever it runs later. Where none runs the error is [ErrNotRunning], where it cannot be
// reached an [ElsewhereError], where its job waits a [QueuedError].
func (w Finder) Dial(ctx context.Context, project string) (*Client, error) {
	first, err := w.connect(ctx, project)
	if err != nil {
		return nil, err
	}
	var taken atomic.Bool
	c, err := NewClient(func(ctx context.Context) (net.Conn, error) {
		if !taken.Swap(true) {
			return first, nil
		}
		return w.connect(ctx, project)
	})
	if err != nil {
		first.Close()
		return nil, err
	}
	c.Conn.Connect() // uses the connection at hand at once
	return c, nil
}
