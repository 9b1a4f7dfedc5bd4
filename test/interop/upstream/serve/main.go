// Serve is upstream's server for our client: see ../README.md, and ../../peer/serve for what it serves.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	stderrors "errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/bearlytools/claw/rpc/errors"
	"github.com/bearlytools/claw/rpc/interceptor"
	"github.com/bearlytools/claw/rpc/metadata"
	"github.com/bearlytools/claw/rpc/server"
	"github.com/coder/websocket"
	base "github.com/gostdlib/base/context"
)

func main() {
	compression := flag.Uint("compression", 0, "of everything sent: 1 gzip, 2 snappy, 3 zstd")
	packing := flag.Bool("packing", false, "grant packing")
	flag.Parse()

	// Only interceptors of streams see the metadata; handlers find it in their context here.
	options := []server.Option{
		server.WithPacking(*packing),
		server.WithUnaryInterceptor(func(ctx context.Context, request []byte, info *interceptor.UnaryServerInfo, next interceptor.UnaryHandler) ([]byte, error) {
			return next(metadata.NewContext(ctx, metadata.FromMsgs(ctx, info.Metadata)), request)
		}),
		server.WithStreamInterceptor(func(ctx context.Context, stream interceptor.ServerStream, info *interceptor.StreamServerInfo, next interceptor.StreamHandler) error {
			return next(metadata.NewContext(ctx, metadata.FromMsgs(ctx, info.Metadata)), stream)
		}),
	}
	switch *compression {
	case 1:
		options = append(options, server.WithCompression(1))
	case 2:
		options = append(options, server.WithCompression(2))
	case 3:
		options = append(options, server.WithCompression(3))
	}
	ctx := base.Background()
	s := server.New(options...)
	register(ctx, s)

	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			conn, err := raw.Accept()
			if err != nil {
				return
			}
			go s.Serve(ctx, conn)
		}
	}()
	go http.Serve(web, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if socket, err := websocket.Accept(w, r, nil); err == nil {
			conn := websocket.NetConn(ctx, socket, websocket.MessageBinary)
			socket.SetReadLimit(-1)
			s.Serve(ctx, conn)
		}
	}))
	say(map[string]string{"tcp": "tcp://" + raw.Addr().String(), "ws": "ws://" + web.Addr().String() + "/rpc"})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() == "shutdown" {
			s.Shutdown(ctx)
			say(map[string]bool{"shutdown": true})
		}
	}
}

func say(value any) { json.NewEncoder(os.Stdout).Encode(value) }

// The handlers of synchronous RPCs are generic, for the type of their third parameter has no name here.
func unary[M any](_ context.Context, request []byte, _ []M) ([]byte, error) { return request, nil }

func fail[M any](ctx context.Context, _ []byte, _ []M) ([]byte, error) {
	return nil, errors.E(ctx, errors.Category(number(ctx, "category")), stderrors.New(value(ctx, "message")))
}

func sleep[M any](ctx context.Context, request []byte, _ []M) ([]byte, error) {
	ms, _ := strconv.Atoi(string(request))
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return request, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func meta[M interface {
	Key() string
	Value() []byte
}](_ context.Context, _ []byte, md []M) ([]byte, error) {
	var lines []string
	for _, entry := range md {
		lines = append(lines, entry.Key()+"="+hex.EncodeToString(entry.Value()))
	}
	sort.Strings(lines)
	return []byte(strings.Join(lines, "\n")), nil
}

func register(ctx context.Context, s *server.Server) {
	var unaryHandler, failHandler, sleepHandler, metaHandler server.SyncHandler
	unaryHandler.HandleFunc = unary
	failHandler.HandleFunc = fail
	sleepHandler.HandleFunc = sleep
	metaHandler.HandleFunc = meta
	for name, handler := range map[string]server.Handler{
		"example/Echo/Unary":   unaryHandler,
		"example/Echo/Fail":    failHandler,
		"example/Echo/Sleep":   sleepHandler,
		"example/Echo/Collect": server.SendHandler{HandleFunc: collect},
		"example/Echo/Repeat":  server.RecvHandler{HandleFunc: repeat},
		"example/Echo/BiDi":    server.BiDirHandler{HandleFunc: bidi},
		"interop/Test/Meta":    metaHandler,
		"interop/Test/Break":   server.RecvHandler{HandleFunc: broken},
		"interop/Test/Hold":    server.SendHandler{HandleFunc: hold},
	} {
		names := strings.Split(name, "/")
		if err := s.Register(ctx, names[0], names[1], names[2], handler); err != nil {
			log.Fatal(err)
		}
	}
}

func collect(ctx context.Context, s *server.RecvStream) error {
	count, total := 0, 0
	for b := range s.Recv() {
		count++
		total += len(b)
	}
	s.SetTrailer(metadata.New("count", fmt.Sprint(count), "total", fmt.Sprint(total)))
	return ctx.Err()
}

func hold(ctx context.Context, s *server.RecvStream) error {
	time.Sleep(time.Duration(number(ctx, "ms")) * time.Millisecond)
	return collect(ctx, s)
}

func repeat(ctx context.Context, s *server.SendStream) error {
	count := number(ctx, "count")
	for i := range count {
		if err := s.Send(filled(number(ctx, "size"), i)); err != nil {
			return err
		}
	}
	s.SetTrailer(metadata.New("sent", fmt.Sprint(count)))
	return nil
}

func broken(ctx context.Context, s *server.SendStream) error {
	for i := range 3 {
		if err := s.Send(filled(8, i)); err != nil {
			return err
		}
	}
	return errors.E(ctx, errors.DataLoss, stderrors.New("the rest is lost"))
}

func bidi(ctx context.Context, s *server.BiDirStream) error {
	echoed := 0
	for b := range s.Recv() {
		if err := s.Send(b); err != nil {
			return err
		}
		echoed++
	}
	s.SetTrailer(metadata.New("echoed", fmt.Sprint(echoed)))
	return ctx.Err()
}

func filled(size, i int) []byte {
	b := make([]byte, size)
	for at := range b {
		b[at] = byte(i)
	}
	return b
}

func value(ctx context.Context, key string) string {
	md, _ := metadata.FromContext(ctx)
	return md.GetString(key)
}

func number(ctx context.Context, key string) int {
	n, _ := strconv.Atoi(value(ctx, key))
	return n
}
