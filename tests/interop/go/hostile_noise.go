package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/flynn/noise"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	secure "github.com/libp2p/go-libp2p/p2p/security/noise"
)

// Faults in what Noise carries: the cipher is in order and the payload within is not.
var noiseFaults = map[string]func(key, signature []byte) []byte{
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

var errAccepted = errors.New("the faulty payload was sent")

// faultySecurity shakes hands by the book but for its payload, and then waits for the other side to end the connection.
type faultySecurity struct {
	key   crypto.PrivKey
	fault func(key, signature []byte) []byte
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
	return f.fault(key, signature), err
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
	for message := range 3 {
		if (message%2 == 0) != initiator {
			if err := receiveNoise(c, state); err != nil {
				return err
			}
			continue
		}
		var payload []byte
		if message > 0 {
			payload = bad
		}
		out, _, _, err := state.WriteMessage(make([]byte, 2), payload)
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint16(out, uint16(len(out)-2))
		if _, err := c.Write(out); err != nil {
			return err
		}
	}
	io.Copy(io.Discard, c)
	return errAccepted
}

func receiveNoise(c net.Conn, state *noise.HandshakeState) error {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, message); err != nil {
		return err
	}
	_, _, _, err := state.ReadMessage(nil, message)
	return err
}

func securityWith(key crypto.PrivKey, fault string) any {
	if f, known := noiseFaults[fault]; known {
		return func() (sec.SecureTransport, error) { return faultySecurity{key, f}, nil }
	}
	return secure.New
}
