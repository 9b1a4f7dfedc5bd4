package claw

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a Go server as section 5 describes one: requests of a session strictly one after another, an error
// closes the session, nothing is told to a handler whose caller has left.
type Server struct {
	opt      Options
	handlers map[string]Handler
	mu       sync.Mutex
	conns    map[*serverConn]struct{}
	draining bool
	// What clients did, for the tests. Bodyless: messages that would have ended the process of a Go server (D1, D2).
	Pings, Bodyless, Sent atomic.Int64
}

// Handler is one RPC: one of the functions, according to its kind.
type Handler struct {
	Kind   uint8
	Sync   func(ctx context.Context, request []byte, md []Metadata) ([]byte, error)
	Stream func(s *ServerStream) error
}

// NewServer makes one without handlers.
func NewServer(opt Options) *Server {
	return &Server{opt: opt, handlers: map[string]Handler{}, conns: map[*serverConn]struct{}{}}
}

// Register adds a handler; before serving.
func (s *Server) Register(pkg, service, call string, h Handler) {
	s.handlers[pkg+"/"+service+"/"+call] = h
}

type serverConn struct {
	*link
	s        *Server
	last     uint32
	mu       sync.Mutex
	sessions map[uint32]*ServerStream
	running  sync.WaitGroup
}

// ServerStream is what a streaming handler holds.
type ServerStream struct {
	Ctx      context.Context
	Metadata []Metadata
	Trailer  []Metadata
	id       uint32
	conn     *serverConn
	in       chan *Payload
	inClosed bool // of the read loop
	canceled chan struct{}
	done     chan struct{}
	ended    bool
}

// Serve serves one connection until it ends.
func (s *Server) Serve(rw io.ReadWriteCloser) {
	c := &serverConn{link: newLink(rw, s.opt), s: s, sessions: map[uint32]*ServerStream{}}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	for {
		m, err := c.read()
		if err == nil {
			err = c.handle(m)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				Logf("connection: %v", err)
			}
			break
		}
	}
	c.close()
	c.mu.Lock()
	for _, session := range c.sessions {
		session.closeInput()
	}
	c.mu.Unlock()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// Shutdown says GoAway, waits for every session, closes.
func (s *Server) Shutdown() {
	s.mu.Lock()
	s.draining = true
	conns := make([]*serverConn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.mu.Lock()
		last := c.last
		c.mu.Unlock()
		c.send(&Msg{Type: TGoAway, GoAway: &GoAway{LastSessionID: last, DebugData: "server shutting down"}})
	}
	for _, c := range conns {
		c.running.Wait()
		c.close()
	}
}

func (c *serverConn) handle(m *Msg) error {
	switch m.Type {
	case TOpen:
		if m.Open == nil || m.Open.Descr == nil {
			return c.bodyless("Open")
		}
		return c.open(m.Open)
	case TPayload:
		if m.Payload == nil {
			return c.bodyless("Payload")
		}
		s := c.session(m.Payload.SessionID)
		if s == nil || s.inClosed || !c.inflate(m.Payload) {
			return nil
		}
		select { // a full queue stops the connection (D15)
		case s.in <- m.Payload:
		case <-s.done:
		}
	case TClose:
		if m.Close == nil {
			return c.bodyless("Close")
		}
		if s := c.session(m.Close.SessionID); s != nil {
			s.closeInput()
		}
	case TCancel:
		if m.Cancel == nil {
			return c.bodyless("Cancel")
		}
		if s := c.session(m.Cancel.SessionID); s != nil { // its ReqID is not looked at (D13)
			if !s.inClosed {
				close(s.canceled)
			}
			s.closeInput()
		}
	case TPing:
		c.s.Pings.Add(1)
		if m.Ping == nil {
			return c.bodyless("Ping")
		}
		return c.send(&Msg{Type: TPong, Pong: &Ping{ID: m.Ping.ID}})
	}
	return nil // GoAway of a client, and whatever is not known, is ignored
}

func (c *serverConn) bodyless(what string) error {
	c.s.Bodyless.Add(1)
	return errors.New(what + " without body: a Go server would be dead now (D1, D2)")
}

func (c *serverConn) session(id uint32) *ServerStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[id]
}

func (c *serverConn) open(o *Open) error {
	c.s.mu.Lock()
	draining := c.s.draining
	c.s.mu.Unlock()
	h, found := c.s.handlers[o.Descr.Package+"/"+o.Descr.Service+"/"+o.Descr.Call]
	ack := &OpenAck{OpenID: o.OpenID, ProtocolMajor: 1}
	switch {
	case draining:
		ack.ErrCode, ack.Error = Unavailable, "server is draining"
	case !found:
		ack.ErrCode, ack.Error = Unimplemented, "no handler registered"
	case h.Kind != o.Descr.Type:
		ack.ErrCode, ack.Error = InvalidArgument, "RPC type mismatch"
	}
	if ack.ErrCode != 0 {
		return c.send(&Msg{Type: TOpenAck, OpenAck: ack})
	}
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if o.DeadlineMS > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(o.DeadlineMS)*time.Millisecond)
	}
	c.mu.Lock()
	c.last++
	s := &ServerStream{Ctx: ctx, Metadata: o.Metadata, id: c.last, conn: c, in: make(chan *Payload, 16), canceled: make(chan struct{}), done: make(chan struct{})}
	c.sessions[s.id] = s
	c.mu.Unlock()
	if s.id == 1 && o.Packing && c.opt.Packing {
		c.packed.Store(true)
	}
	ack.SessionID, ack.Packing = s.id, c.packed.Load()
	if err := c.send(&Msg{Type: TOpenAck, OpenAck: ack}); err != nil {
		cancel()
		return err
	}
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		defer cancel()
		err := s.run(h)
		if h.Kind == BiDi || h.Kind == Recv {
			s.sendPayload(0, nil, true) // also before an error (D9)
		}
		c.mu.Lock()
		delete(c.sessions, s.id)
		c.mu.Unlock()
		close(s.done)
		code, text := outcome(err)
		c.send(&Msg{Type: TClose, Close: &Close{SessionID: s.id, ErrCode: code, Error: text, Metadata: s.Trailer}})
	}()
	return nil
}

func (s *ServerStream) run(h Handler) error {
	if h.Kind != Sync {
		return h.Stream(s)
	}
	for p := range s.in {
		answer, err := h.Sync(s.Ctx, p.Payload, s.Metadata)
		if err == nil {
			err = s.sendPayload(p.ReqID, answer, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func outcome(err error) (uint16, string) {
	var coded *Error
	switch {
	case err == nil:
		return 0, ""
	case errors.As(err, &coded):
		return coded.Code, coded.Text
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded, err.Error()
	case errors.Is(err, context.Canceled):
		return Canceled, err.Error()
	}
	return Internal, err.Error()
}

// closeInput: the client says no more. Of the read loop.
func (s *ServerStream) closeInput() {
	if !s.inClosed {
		s.inClosed = true
		close(s.in)
	}
}

// Recv is the next message, or io.EOF: the end, or the deadline.
func (s *ServerStream) Recv() ([]byte, error) {
	if s.ended {
		return nil, io.EOF
	}
	select {
	case p, ok := <-s.in:
		if !ok || p.EndStream && len(p.Payload) == 0 {
			s.ended = true
			return nil, io.EOF
		}
		s.ended = p.EndStream
		return p.Payload, nil
	case <-s.Ctx.Done():
		return nil, io.EOF
	}
}

// Send sends a message; after a Cancel it fails.
func (s *ServerStream) Send(b []byte) error {
	select {
	case <-s.canceled:
		return &Error{Unavailable, "session closed"}
	default:
	}
	err := s.sendPayload(0, b, false)
	if err == nil {
		s.conn.s.Sent.Add(1)
	}
	return err
}

func (s *ServerStream) sendPayload(req uint32, b []byte, end bool) error {
	m, err := s.conn.payload(s.id, req, b, end)
	if err == nil {
		err = s.conn.send(m)
	}
	return err
}
