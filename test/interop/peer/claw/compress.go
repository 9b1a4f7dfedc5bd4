package claw

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// Section 4: compression of payloads.

var (
	zstdWriter, _ = zstd.NewWriter(nil)
	zstdReader, _ = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxFrame))
)

func compress(id uint8, b []byte) ([]byte, error) {
	switch id {
	case 0:
		return b, nil
	case 1:
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write(b); err != nil {
			return nil, err
		}
		err := w.Close()
		return out.Bytes(), err
	case 2:
		return snappy.Encode(nil, b), nil
	case 3:
		return zstdWriter.EncodeAll(b, nil), nil
	}
	return nil, fmt.Errorf("unknown compression %d", id)
}

func decompress(id uint8, b []byte) ([]byte, error) {
	switch id {
	case 0:
		return b, nil
	case 1:
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(io.LimitReader(r, maxFrame))
	case 2:
		return snappy.Decode(nil, b)
	case 3:
		return zstdReader.DecodeAll(b, nil)
	}
	return nil, fmt.Errorf("unknown compression %d", id)
}
