package claw

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// Section 3: packing.

var errPacking = errors.New("malformed pack block")

const packHeader = 16

// Pack makes a block of whole words.
func Pack(raw []byte) ([]byte, error) {
	if len(raw)%8 != 0 {
		return nil, errPacking
	}
	if len(raw) == 0 {
		return nil, nil
	}
	out := make([]byte, packHeader, packHeader+len(raw)/2)
	binary.LittleEndian.PutUint64(out, uint64(len(raw)))
	for len(raw) > 0 {
		word := raw[:8]
		raw = raw[8:]
		tagAt := len(out)
		out = append(out, 0)
		for i, b := range word {
			if b != 0 {
				out[tagAt] |= 1 << i
				out = append(out, b)
			}
		}
		switch out[tagAt] {
		case 0x00:
			run := runOf(raw, 8, 8)
			out = append(out, byte(run/8))
			raw = raw[run:]
		case 0xff:
			run := runOf(raw, 0, 1)
			out = append(out, byte(run/8))
			out = append(out, raw[:run]...)
			raw = raw[run:]
		}
	}
	binary.LittleEndian.PutUint64(out[8:], uint64(len(out)-packHeader))
	return out, nil
}

// runOf counts the bytes of the words in front that have from least to most zeros, 255 words at most.
func runOf(raw []byte, least, most int) int {
	n := 0
	for ; n < 255*8 && n < len(raw); n += 8 {
		if zeros := bytes.Count(raw[n:n+8], []byte{0}); zeros < least || zeros > most {
			break
		}
	}
	return n
}

// packSizes checks the header of a block.
func packSizes(b []byte) (unpacked, packed int, err error) {
	if len(b) < packHeader {
		return 0, 0, errPacking
	}
	u, p := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	if u > maxFrame || p > 2*maxFrame || u%8 != 0 {
		return 0, 0, errPacking
	}
	return int(u), int(p), nil
}

// Unpack is the reverse of Pack; whatever does not fit exactly is an error.
func Unpack(block []byte) ([]byte, error) {
	unpacked, packed, err := packSizes(block)
	if err != nil || len(block) < packHeader+packed {
		return nil, errPacking
	}
	in := block[packHeader : packHeader+packed]
	out := make([]byte, 0, unpacked)
	take := func(n int) []byte {
		if n > len(in) {
			err, n = errPacking, 0
		}
		taken := in[:n]
		in = in[n:]
		return taken
	}
	for len(in) > 0 && err == nil && len(out) < unpacked {
		tag := take(1)[0]
		var word [8]byte
		for i := range word {
			if tag>>i&1 == 1 {
				copy(word[i:], take(1))
			}
		}
		out = append(out, word[:]...)
		if tag != 0x00 && tag != 0xff {
			continue
		}
		if count := take(1); len(count) == 1 && tag == 0x00 {
			out = append(out, make([]byte, 8*int(count[0]))...)
		} else if len(count) == 1 {
			out = append(out, take(8*int(count[0]))...)
		}
	}
	if err != nil || len(in) > 0 || len(out) != unpacked {
		return nil, errPacking
	}
	return out, nil
}
