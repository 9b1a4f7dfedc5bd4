package claw

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/rand"
	"os"
	"reflect"
	"strings"
	"testing"
)

// Health and reflection (section 2.5): only here, because only the vectors speak them.
type (
	HealthCheckRequest  struct{ Service string }
	HealthCheckResponse struct{ Status uint8 }
	MethodInfo          struct {
		Name string
		Type uint8
	}
	ServiceInfo struct {
		Name    string
		Methods []MethodInfo
	}
	PackageInfo struct {
		Name     string
		Services []ServiceInfo
	}
	ListServicesRequest    struct{ Reserved uint8 }
	ListServicesResponse   struct{ Packages []PackageInfo }
	GetServiceInfoRequest  struct{ Package, Service string }
	GetServiceInfoResponse struct {
		Service *ServiceInfo
		Found   bool
	}
	GetMethodInfoRequest  struct{ Package, Service, Method string }
	GetMethodInfoResponse struct {
		Method *MethodInfo
		Found  bool
	}
)

func schemas() map[string]any {
	return map[string]any{
		"Msg": &Msg{}, "HealthCheckRequest": &HealthCheckRequest{}, "HealthCheckResponse": &HealthCheckResponse{},
		"ListServicesRequest": &ListServicesRequest{}, "ListServicesResponse": &ListServicesResponse{},
		"GetServiceInfoRequest": &GetServiceInfoRequest{}, "GetServiceInfoResponse": &GetServiceInfoResponse{},
		"GetMethodInfoRequest": &GetMethodInfoRequest{}, "GetMethodInfoResponse": &GetMethodInfoResponse{},
	}
}

type vectors struct {
	Messages []struct {
		Name, Schema, Hex, Packed string
		Value                     json.RawMessage
		DecodeOnly                bool
		Opt                       struct{ KeepEmpty bool }
	}
	Packing []struct{ Name, Raw, Packed string }
	Errors  []struct{ Name, Kind, Hex string }
}

func load(t *testing.T) (v vectors) {
	text, err := os.ReadFile("../../../conformance/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMessages(t *testing.T) {
	for _, c := range load(t).Messages {
		want, wire := schemas()[c.Schema], unhex(t, c.Hex)
		if err := json.Unmarshal(c.Value, want); err != nil {
			t.Fatal(c.Name, err)
		}
		if !c.DecodeOnly {
			if got := Encode(want, c.Opt.KeepEmpty); !bytes.Equal(got, wire) {
				t.Errorf("%s: encoded %x, want %x", c.Name, got, wire)
			}
		}
		got := schemas()[c.Schema]
		if err := Decode(wire, got); err != nil {
			t.Error(c.Name, err)
		} else if again := Encode(got, c.Opt.KeepEmpty); !bytes.Equal(again, Encode(want, c.Opt.KeepEmpty)) {
			t.Errorf("%s: decoded %+v, want %+v", c.Name, got, want)
		}
		if c.Packed != "" {
			checkPacking(t, c.Name, wire, unhex(t, c.Packed))
		}
	}
}

func TestPacking(t *testing.T) {
	for _, c := range load(t).Packing {
		checkPacking(t, c.Name, unhex(t, c.Raw), unhex(t, c.Packed))
	}
	random := rand.New(rand.NewSource(1))
	for range 1000 {
		raw := make([]byte, 8*(1+random.Intn(600)))
		for i := range raw {
			if random.Intn(10) < random.Intn(10) {
				raw[i] = byte(random.Intn(256))
			}
		}
		packed, err := Pack(raw)
		if err != nil {
			t.Fatal(err)
		}
		checkPacking(t, "random", raw, packed)
	}
}

func checkPacking(t *testing.T, name string, raw, packed []byte) {
	if got, err := Pack(raw); err != nil || !bytes.Equal(got, packed) {
		t.Errorf("%s: packed %x, %v, want %x", name, got, err, packed)
	}
	if len(packed) == 0 {
		return // packing nothing yields nothing, which is no block
	}
	if got, err := Unpack(packed); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("%s: unpacked %x, %v, want %x", name, got, err, raw)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range load(t).Errors {
		in, err := unhex(t, c.Hex), error(nil)
		switch c.Kind {
		case "decode":
			err = Decode(in, &Msg{})
		case "unpack":
			_, err = Unpack(in)
		case "pack":
			_, err = Pack(in)
		}
		if err == nil {
			t.Errorf("%s: accepted", c.Name)
		}
	}
}

func TestCompression(t *testing.T) {
	raw := bytes.Repeat([]byte("claw "), 1000)
	for id := range uint8(4) {
		packed, err := compress(id, raw)
		if err != nil || id != 0 && len(packed) > 500 {
			t.Error(id, len(packed), err)
		}
		if got, err := decompress(id, packed); err != nil || !bytes.Equal(got, raw) {
			t.Error(id, len(got), err)
		}
	}
	if _, err := decompress(9, raw); err == nil {
		t.Error("an unknown number was accepted")
	}
	gz, _ := compress(1, raw)
	if !reflect.DeepEqual(gz[:10], []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}) {
		t.Errorf("gzip header %x", gz[:10])
	}
}
