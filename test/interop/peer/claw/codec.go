// Package claw is a peer of Claw RPC 1.0, written from docs/protocol-1.0.md. It shares no code with lib/ or with
// upstream. This file is section 2: structs.
package claw

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// The messages. A field's number is its place in the struct.
type (
	Msg struct {
		Type    uint8
		Open    *Open
		OpenAck *OpenAck
		Close   *Close
		Payload *Payload
		Cancel  *Cancel
		Ping    *Ping
		Pong    *Ping
		GoAway  *GoAway
	}
	Open struct {
		OpenID         uint32
		Descr          *Descr
		ProtocolMajor  uint8
		ProtocolMinor  uint8
		DeadlineMS     uint64 `json:",string"`
		MaxPayloadSize uint32
		TraceID        Bytes
		SpanID         Bytes
		Metadata       []Metadata
		Packing        bool
	}
	Descr struct {
		Package string
		Service string
		Call    string
		Type    uint8
	}
	OpenAck struct {
		OpenID         uint32
		SessionID      uint32
		ProtocolMajor  uint8
		ProtocolMinor  uint8
		MaxPayloadSize uint32
		ErrCode        uint16
		Error          string
		Metadata       []Metadata
		Packing        bool
	}
	Close struct {
		SessionID uint32
		ErrCode   uint16
		Error     string
		Metadata  []Metadata
	}
	Payload struct {
		SessionID   uint32
		ReqID       uint32
		Payload     Bytes
		EndStream   bool
		Compression uint8
		Metadata    []Metadata
	}
	Cancel struct {
		SessionID uint32
		ReqID     uint32
	}
	Ping struct {
		ID uint32
	}
	GoAway struct {
		LastSessionID uint32
		ErrCode       uint16
		DebugData     string
	}
	Metadata struct {
		Key   string
		Value Bytes
	}
)

// Numbers of messages and of the kinds of RPC.
const (
	TOpen, TOpenAck, TClose, TPayload, TCancel, TPing, TPong, TGoAway = 1, 2, 3, 4, 5, 6, 7, 8
	Sync, Send, Recv, BiDi                                            = 1, 2, 3, 4
)

// Codes of the errors this peer makes itself.
const (
	Canceled          = 1
	InvalidArgument   = 3
	DeadlineExceeded  = 4
	ResourceExhausted = 8
	Unimplemented     = 12
	Internal          = 13
	Unavailable       = 14
)

// MaxPayload is Go's default limit of a payload; maxFrame is what this peer allocates at most.
const (
	MaxPayload = 4 << 20
	maxFrame   = 64 << 20
)

// Type codes.
const (
	tBool, tInt64, tU8, tU16, tU32, tU64, tFloat64 = 1, 5, 6, 7, 8, 9, 11
	tString, tBytes, tStruct, tAny                 = 12, 13, 14, 15
	tBools, tStructs, tMap                         = 41, 54, 55
)

// Bytes are bytes, which JSON (the vectors) writes as hex.
type Bytes []byte

func (b *Bytes) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	*b = raw
	return err
}

var errMalformed = errors.New("malformed struct")

func header(number, kind, data int) uint64 {
	return uint64(number)&0xffff | uint64(kind)<<16 | uint64(data)<<24
}

// Encode writes a root struct. Empty nested structs are left out, as Go does (D1), unless keepEmpty says otherwise.
func Encode(root any, keepEmpty bool) []byte {
	v := reflect.ValueOf(root).Elem()
	out, set := appendFields(make([]byte, 8, 64), v, keepEmpty)
	if _, isMsg := root.(*Msg); isMsg {
		out = binary.LittleEndian.AppendUint64(out, 0x80|set&0x7f|set>>7<<8) // 9 fields: 7 in the first byte, 2 in the second
	}
	binary.LittleEndian.PutUint64(out, header(0, tStruct, len(out)))
	return out
}

// appendFields writes the fields that are set, and says which, bit by bit.
func appendFields(out []byte, v reflect.Value, keepEmpty bool) (_ []byte, set uint64) {
	le := binary.LittleEndian
	for i := range v.NumField() {
		f, before := v.Field(i), len(out)
		switch f.Kind() {
		case reflect.Bool:
			if f.Bool() {
				out = le.AppendUint64(out, header(i, tBool, 1))
			}
		case reflect.Uint8, reflect.Uint16, reflect.Uint32:
			if f.Uint() != 0 {
				out = le.AppendUint64(out, header(i, int(scalarType(f.Kind())), int(f.Uint())))
			}
		case reflect.Uint64:
			if f.Uint() != 0 {
				out = le.AppendUint64(le.AppendUint64(out, header(i, tU64, 0)), f.Uint())
			}
		case reflect.String:
			out = appendBytes(out, i, []byte(f.String()))
		case reflect.Pointer:
			if f.IsNil() {
				break
			}
			out = append(out, make([]byte, 8)...)
			out, _ = appendFields(out, f.Elem(), keepEmpty)
			if len(out) == before+8 && !keepEmpty {
				out = out[:before]
				break
			}
			le.PutUint64(out[before:], header(i, tStruct, len(out)-before))
		case reflect.Slice:
			if f.Type().Elem().Kind() == reflect.Uint8 {
				out = appendBytes(out, i, f.Bytes())
				break
			}
			if f.Len() == 0 {
				break
			}
			out = append(out, make([]byte, 8)...)
			for item := range f.Len() {
				at := len(out)
				out, _ = appendFields(append(out, make([]byte, 8)...), f.Index(item), keepEmpty)
				le.PutUint64(out[at:], header(item, tStruct, len(out)-at))
			}
			le.PutUint64(out[before:], header(i, tStructs, len(out)-before))
		}
		if len(out) > before {
			set |= 1 << i
		}
	}
	return out, set
}

func appendBytes(out []byte, number int, b []byte) []byte {
	if len(b) == 0 {
		return out
	}
	out = binary.LittleEndian.AppendUint64(out, header(number, tBytes, len(b)))
	out = append(out, b...)
	return append(out, make([]byte, padded(len(b))-len(b))...)
}

func padded(n int) int { return (n + 7) &^ 7 }

func scalarType(kind reflect.Kind) uint8 {
	return map[reflect.Kind]uint8{reflect.Bool: tBool, reflect.Uint8: tU8, reflect.Uint16: tU16, reflect.Uint32: tU32, reflect.Uint64: tU64}[kind]
}

// Decode reads a whole frame into a root struct. What Go answers with a panic or an endless loop is an error here.
func Decode(frame []byte, root any) error {
	if len(frame) < 8 {
		return errMalformed
	}
	size, err := FrameSize(frame)
	if err != nil {
		return err
	}
	if size > len(frame) {
		return errMalformed
	}
	return readFields(frame[8:size], reflect.ValueOf(root).Elem())
}

// FrameSize checks the first word of a plain frame and tells how many bytes the frame has.
func FrameSize(word []byte) (int, error) {
	u := binary.LittleEndian.Uint64(word)
	size := u >> 24
	if u>>16&0xff != tStruct || size < 8 || size%8 != 0 || size > maxFrame {
		return 0, errMalformed
	}
	return int(size), nil
}

func readFields(b []byte, v reflect.Value) error {
	for len(b) >= 8 {
		u := binary.LittleEndian.Uint64(b)
		number, kind, data := int(u&0xffff), uint8(u>>16), int(u>>24)
		if kind == 0 {
			return nil
		}
		size := fieldSize(kind, data)
		if size < 8 || size%8 != 0 || size > len(b) {
			return errMalformed
		}
		if number < v.NumField() {
			if err := readField(b[:size], kind, data, v.Field(number)); err != nil {
				return fmt.Errorf("%s: %w", v.Type().Field(number).Name, err)
			}
		}
		b = b[size:]
	}
	if len(b) > 0 {
		return errMalformed
	}
	return nil
}

func fieldSize(kind uint8, data int) int {
	switch {
	case kind == tInt64 || kind == tU64 || kind == tFloat64:
		return 16
	case kind < tString:
		return 8
	case kind == tString || kind == tBytes:
		return 8 + padded(data)
	case kind == tStruct || kind > tBools && kind <= tStructs:
		return data
	case kind == tAny:
		return 8 + data>>8
	case kind == tBools:
		return 8 + padded((data+7)/8)
	case kind == tMap:
		return data >> 16
	default:
		return max(data, 8)
	}
}

func readField(b []byte, kind uint8, data int, f reflect.Value) error {
	switch f.Kind() {
	case reflect.Bool:
		f.SetBool(data&1 == 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		f.SetUint(uint64(data))
	case reflect.Uint64:
		if kind == tU64 {
			f.SetUint(binary.LittleEndian.Uint64(b[8:]))
		}
	case reflect.String:
		if kind == tBytes || kind == tString {
			f.SetString(string(b[8 : 8+data]))
			return nil
		}
		return errMalformed
	case reflect.Pointer:
		if kind != tStruct {
			return errMalformed
		}
		f.Set(reflect.New(f.Type().Elem()))
		return readFields(b[8:], f.Elem())
	case reflect.Slice:
		if f.Type().Elem().Kind() == reflect.Uint8 {
			if kind != tBytes && kind != tString {
				return errMalformed
			}
			f.SetBytes(append(Bytes{}, b[8:8+data]...))
			return nil
		}
		if kind != tStructs {
			return errMalformed
		}
		return readItems(b[8:], f)
	}
	if kind != scalarType(f.Kind()) {
		return errMalformed
	}
	return nil
}

func readItems(b []byte, list reflect.Value) error {
	list.SetZero()
	for len(b) >= 8 {
		u := binary.LittleEndian.Uint64(b)
		size := int(u >> 24)
		if u>>16&0xff != tStruct || size < 8 || size%8 != 0 || size > len(b) {
			return errMalformed
		}
		item := reflect.New(list.Type().Elem()).Elem()
		if err := readFields(b[8:size], item); err != nil {
			return err
		}
		list.Set(reflect.Append(list, item))
		b = b[size:]
	}
	return nil
}
