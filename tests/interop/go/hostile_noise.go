package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"

	"github.com/flynn/noise"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	secure "github.com/libp2p/go-libp2p/p2p/security/noise"
)

const (
	rightPayload = "noise-right"
	// What an initiator says next, in the cipher.
	nextWords = "\x13/multistream/1.0.0\n\x0d/yamux/1.0.0\n"
)

// Faults in what Noise carries: the cipher is in order and the payload within is not. One payload is right, which shows that
// with the others nothing but the payload is the reason.
var noiseFaults = map[string]func(key, signature []byte) []byte{
	rightPayload:   func(key, signature []byte) []byte { return append(field(1, key), field(2, signature)...) },
	"noise-empty":  func(key, signature []byte) []byte { return nil },
	"noise-no-key": func(key, signature []byte) []byte { return field(2, signature) },
	"noise-no-sig": func(key, signature []byte) []byte { return field(1, key) },
	"noise-wrong-sig": func(key, signature []byte) []byte {
		signature[0] ^= 1
		return append(field(1, key), field(2, signature)...)
	},
	"noise-wrong-key": func(key, signature []byte) []byte { key[9] ^= 1; return append(field(1, key), field(2, signature)...) },
	"noise-swapped":   func(key, signature []byte) []byte { return append(field(1, signature), field(2, key)...) },
	"noise-short":     func(key, signature []byte) []byte { return append(field(1, key), field(2, signature)[:40]...) },
	"noise-garbage": func(key, signature []byte) []byte {
		return []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	},
}

func field(number byte, value []byte) []byte {
	return append([]byte{number<<3 | 2, byte(len(value))}, value...)
}

var errAccepted = errors.New("the handshake was all there is")

// How often the other side has said something after the handshake.
var wentOn atomic.Int32

// faultySecurity shakes hands by the book but for its payload, and ends after the other side's next word.
type faultySecurity struct {
	key  crypto.PrivKey
	name string
}

func (f faultySecurity) ID() protocol.ID { return "/noise" }

func (f faultySecurity) SecureInbound(_ context.Context, c net.Conn, _ peer.ID) (sec.SecureConn, error) {
	return nil, f.shake(c, false)
}

func (f faultySecurity) SecureOutbound(_ context.Context, c net.Conn, _ peer.ID) (sec.SecureConn, error) {
	return nil, f.shake(c, true)
}

func (f faultySecurity) payload(static []byte) ([]byte, error) {
	key, err := crypto.MarshalPublicKey(f.key.GetPublic())
	if err != nil {
		return nil, err
	}
	signature, err := f.key.Sign(append([]byte("noise-libp2p-static-key:"), static...))
	return noiseFaults[f.name](key, signature), err
}

func (f faultySecurity) shake(c net.Conn, initiator bool) error {
	defer c.Close()
	suite := noise.NewCipherSuite(noise.DH25519, noise.CipherChaChaPoly, noise.HashSHA256)
	static, err := suite.GenerateKeypair(nil)
	if err != nil {
		return err
	}
	state, err := noise.NewHandshakeState(noise.Config{CipherSuite: suite, Pattern: noise.HandshakeXX, Initiator: initiator,
		StaticKeypair: static})
	if err != nil {
		return err
	}
	bad, err := f.payload(static.Public)
	if err != nil {
		return err
	}
	var first, second *noise.CipherState
	for message := range 3 {
		if (message%2 == 0) != initiator {
			received, err := receiveNoise(c)
			if err != nil {
				return err
			}
			if _, first, second, err = state.ReadMessage(nil, received); err != nil {
				return err
			}
			continue
		}
		var payload []byte
		if message > 0 {
			payload = bad
		}
		var out []byte
		if out, first, second, err = state.WriteMessage(nil, payload); err != nil {
			return err
		}
		if err := sendNoise(c, out); err != nil {
			return err
		}
	}
	// The first of the two is for what the initiator sends.
	receiving := first
	if initiator {
		receiving = second
		out, err := first.Encrypt(nil, nil, []byte(nextWords))
		if err != nil {
			return err
		}
		if err := sendNoise(c, out); err != nil {
			return err
		}
	}
	word, err := receiveNoise(c)
	if err != nil {
		return err
	}
	if _, err := receiving.Decrypt(nil, nil, word); err != nil {
		return err
	}
	wentOn.Add(1)
	fmt.Fprintln(os.Stderr, "the other side goes on after", f.name)
	return errAccepted
}

func sendNoise(c net.Conn, message []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
	return err
}

func receiveNoise(c net.Conn) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(c, message)
	return message, err
}

func securityWith(key crypto.PrivKey, fault string) any {
	if _, known := noiseFaults[fault]; known {
		return func() (sec.SecureTransport, error) { return faultySecurity{key, fault}, nil }
	}
	return secure.New
}
