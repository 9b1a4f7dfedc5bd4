package claw

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Client is a Go client as section 5 describes one: ids from 0, GoAway fatal, a full queue stops everything.
type Client struct {
	*link
	// Trace is what came in, in order, for scenarios about order. Read it when the connection is over.
	Trace []string
	Pongs chan uint32

	mu       sync.Mutex
	nextOpen uint32
	pending  map[uint32]*Stream
	sessions map[uint32]*Stream
	err      error
}

// NewClient takes over a connection.
func NewClient(rw io.ReadWriteCloser, opt Options) *Client {
	c := &Client{link: newLink(rw, opt), Pongs: make(chan uint32, 16), pending: map[uint32]*Stream{}, sessions: map[uint32]*Stream{}}
	go c.readLoop()
	return c
}

// Over is closed when the connection is.
func (c *Client) Over() <-chan struct{} { return c.over }

// Close ends the connection at once.
func (c *Client) Close() { c.fail(errors.New("connection closed")) }

func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.mu.Unlock()
	c.close()
}

func (c *Client) lost() error { return &Error{Unavailable, "connection closed"} }

func (c *Client) readLoop() {
	for {
		m, err := c.read()
		if err == nil {
			err = c.handle(m)
		}
		if err != nil {
			c.Trace = append(c.Trace, "end: "+err.Error())
			c.fail(err)
			return
		}
	}
}

func (c *Client) handle(m *Msg) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.OpenAck != nil:
		c.trace("OpenAck %d", m.OpenAck.ErrCode)
		s := c.pending[m.OpenAck.OpenID]
		delete(c.pending, m.OpenAck.OpenID)
		if s == nil {
			return nil
		}
		if m.OpenAck.ErrCode == 0 {
			s.ID = m.OpenAck.SessionID
			c.sessions[s.ID] = s
			if c.opt.Packing && m.OpenAck.Packing {
				c.packed.Store(true)
			}
		}
		s.acked <- m.OpenAck
	case m.Payload != nil:
		c.trace("Payload %d", m.Payload.SessionID)
		s := c.sessions[m.Payload.SessionID]
		if s == nil || !c.inflate(m.Payload) {
			return nil
		}
		c.mu.Unlock() // a full queue holds up the whole connection (D15), but not the callers' own steps
		select {
		case s.in <- m.Payload:
		case <-s.left:
		case <-c.over:
		}
		c.mu.Lock()
	case m.Close != nil:
		c.trace("Close %d: %d", m.Close.SessionID, m.Close.ErrCode)
		if s := c.sessions[m.Close.SessionID]; s != nil {
			delete(c.sessions, s.ID)
			s.outcome = m.Close
			close(s.in)
		}
	case m.Type == TPong:
		id := uint32(0)
		if m.Pong != nil {
			id = m.Pong.ID
		}
		c.Pongs <- id
	case m.Type == TGoAway:
		c.trace("GoAway")
		return errors.New("server going away") // fatal (D12)
	}
	return nil // Ping and whatever is not known is ignored
}

func (c *Client) trace(format string, args ...any) {
	if len(c.Trace) < 100 {
		c.Trace = append(c.Trace, fmt.Sprintf(format, args...))
	}
}

// Ping sends one without body, as Go's keepalive does (D1a).
func (c *Client) Ping() error { return c.send(&Msg{Type: TPing}) }

// Stream is the client's half of a session of any kind.
type Stream struct {
	ID uint32
	// SawEnd: an EndStream came before the Close. After an error it would cost a Go client the error (D9).
	SawEnd  bool
	c       *Client
	acked   chan *OpenAck
	in      chan *Payload
	left    chan struct{}
	outcome *Close
}

// Open opens a session and waits for the answer. A refusal is an *Error with the server's code and text.
func (c *Client) Open(ctx context.Context, kind uint8, service, call string, md ...Metadata) (*Stream, error) {
	pkg := "example"
	if service == "Test" {
		pkg = "interop"
	}
	s := &Stream{c: c, acked: make(chan *OpenAck, 1), in: make(chan *Payload, 16), left: make(chan struct{})}
	o := &Open{Descr: &Descr{pkg, service, call, kind}, ProtocolMajor: 1, MaxPayloadSize: MaxPayload, Metadata: md, Packing: c.opt.Packing}
	if at, ok := ctx.Deadline(); ok {
		o.DeadlineMS = uint64(max(1, time.Until(at).Milliseconds()))
	}
	c.mu.Lock()
	o.OpenID = c.nextOpen
	c.nextOpen++
	c.pending[o.OpenID] = s
	c.mu.Unlock()
	if err := c.send(&Msg{Type: TOpen, Open: o}); err != nil {
		return nil, c.lost()
	}
	select {
	case ack := <-s.acked:
		if ack.ErrCode != 0 {
			return nil, &Error{ack.ErrCode, ack.Error}
		}
		return s, nil
	case <-time.After(30 * time.Second):
		return nil, errors.New("no answer to Open")
	case <-c.over:
		return nil, c.lost()
	}
}

// Send sends one message.
func (s *Stream) Send(b []byte) error { return s.sendPayload(0, b, false) }

// CloseSend says that no more is sent.
func (s *Stream) CloseSend() error { return s.sendPayload(0, nil, true) }

func (s *Stream) sendPayload(req uint32, b []byte, end bool) error {
	m, err := s.c.payload(s.ID, req, b, end)
	if err == nil {
		err = s.c.send(m)
	}
	return err
}

// Close sends a Close; the session goes on until the server's.
func (s *Stream) Close() error {
	return s.c.send(&Msg{Type: TClose, Close: &Close{SessionID: s.ID}})
}

// Leave stops reading: what still comes is thrown away.
func (s *Stream) Leave() { close(s.left) }

// Cancel sends a Cancel for a request.
func (s *Stream) Cancel(req uint32) error {
	return s.c.send(&Msg{Type: TCancel, Cancel: &Cancel{SessionID: s.ID, ReqID: req}})
}

// next is the next payload, io.EOF after a good Close, *Error after a bad one or the loss of the connection.
func (s *Stream) next() (*Payload, error) {
	select {
	case p, ok := <-s.in:
		if ok {
			return p, nil
		}
	case <-s.c.over:
		select { // what had come before counts
		case p, ok := <-s.in:
			if ok {
				return p, nil
			}
		default:
			return nil, s.c.lost()
		}
	}
	if s.outcome.ErrCode != 0 {
		return nil, &Error{s.outcome.ErrCode, s.outcome.Error}
	}
	return nil, io.EOF
}

// Recv is the next message of the server, or how the session ended.
func (s *Stream) Recv() ([]byte, error) {
	p, err := s.next()
	if err != nil {
		return nil, err
	}
	if p.EndStream {
		s.SawEnd = true
		if len(p.Payload) == 0 {
			return s.Recv()
		}
	}
	return p.Payload, nil
}

// Trailer is the metadata of the Close, once the session is over.
func (s *Stream) Trailer() map[string]string {
	all := map[string]string{}
	if s.outcome != nil {
		for _, md := range s.outcome.Metadata {
			all[md.Key] = string(md.Value)
		}
	}
	return all
}

// Caller makes synchronous calls on a session, any number at a time.
type Caller struct {
	*Stream
	mu      sync.Mutex
	nextReq uint32
	waiting map[uint32]chan *Payload
	ended   chan struct{}
	err     error
}

// Caller opens a synchronous session.
func (c *Client) Caller(ctx context.Context, service, call string, md ...Metadata) (*Caller, error) {
	s, err := c.Open(ctx, Sync, service, call, md...)
	if err != nil {
		return nil, err
	}
	k := &Caller{Stream: s, waiting: map[uint32]chan *Payload{}, ended: make(chan struct{})}
	go func() {
		defer close(k.ended)
		for {
			p, err := s.next()
			if err != nil {
				k.err = err
				return
			}
			k.mu.Lock()
			if answer := k.waiting[p.ReqID]; answer != nil {
				answer <- p
			}
			k.mu.Unlock()
		}
	}()
	return k, nil
}

// Begin sends a request; the function waits for its answer. The first request is number 0.
func (k *Caller) Begin(b []byte) (req uint32, wait func() ([]byte, error), err error) {
	answer := make(chan *Payload, 1)
	k.mu.Lock()
	req = k.nextReq
	k.nextReq++
	k.waiting[req] = answer
	k.mu.Unlock()
	return req, func() ([]byte, error) {
		select {
		case p := <-answer:
			return p.Payload, nil
		case <-k.ended:
			select {
			case p := <-answer:
				return p.Payload, nil
			default:
				return nil, k.err
			}
		}
	}, k.sendPayload(req, b, false)
}

// Call sends a request and waits for its answer.
func (k *Caller) Call(b []byte) ([]byte, error) {
	_, wait, err := k.Begin(b)
	if err != nil {
		return nil, err
	}
	return wait()
}

// Ended waits for the end of the session: io.EOF when it was a good one.
func (k *Caller) Ended() error {
	<-k.ended
	return k.err
}
