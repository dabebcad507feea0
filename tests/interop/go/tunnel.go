package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	tunnelProtocol = protocol.ID("/punchgate/tunnel/1.0.0")
	maxFrame       = 65536
)

type request struct {
	ServiceName *string `json:"service_name"`
}

type answer struct {
	Accepted *bool  `json:"accepted"`
	Reason   string `json:"reason,omitempty"`
}

func writeFrame(w io.Writer, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

func readFrame(r io.Reader, value any) error {
	var length uint32
	if err := binary.Read(r, binary.BigEndian, &length); err != nil {
		return err
	}
	if length > maxFrame {
		return fmt.Errorf("a frame of %d bytes", length)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return json.Unmarshal(body, value)
}

func (d *dialer) openTunnel(service string) (network.Stream, error) {
	s, err := d.host.NewStream(limited, d.conn.RemotePeer(), tunnelProtocol)
	if err != nil {
		return nil, err
	}
	if err := writeFrame(s, request{&service}); err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	var a answer
	if err := readFrame(s, &a); err != nil {
		return nil, fmt.Errorf("service not reachable: %w", err)
	}
	if a.Accepted == nil {
		return nil, errors.New("an answer without \"accepted\"")
	}
	if !*a.Accepted {
		return nil, fmt.Errorf("rejected: %s", a.Reason)
	}
	return s, nil
}

var services = map[string]func(network.Stream) error{
	"echo":   serveEcho,
	"reset":  serveReset,
	"sink":   serveSink,
	"source": serveSource,
}

func serveTunnel(s network.Stream) {
	if err := serveRequest(s); err != nil {
		s.Reset()
		return
	}
	s.Close()
}

func serveRequest(s network.Stream) error {
	var r request
	if err := readFrame(s, &r); err != nil {
		return err
	}
	if r.ServiceName == nil {
		return errors.New("a request without \"service_name\"")
	}
	serve, known := services[*r.ServiceName]
	a := answer{Accepted: &known}
	if !known {
		a.Reason = "unknown service: " + *r.ServiceName
	}
	if err := writeFrame(s, a); err != nil || !known {
		return err
	}
	return serve(s)
}

func serveEcho(s network.Stream) error {
	_, err := io.Copy(s, s)
	return err
}

func serveReset(s network.Stream) error {
	if _, err := s.Read(make([]byte, 1)); err != nil {
		return err
	}
	return errors.New("reset is what this service is for")
}

func serveSink(s network.Stream) error {
	count, err := io.Copy(io.Discard, s)
	if err != nil {
		return err
	}
	_, err = io.WriteString(s, strconv.FormatInt(count, 10))
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func serveSource(s network.Stream) error {
	line, err := bufio.NewReader(s).ReadString('\n')
	if err != nil {
		return err
	}
	count, err := strconv.ParseInt(strings.TrimSuffix(line, "\n"), 10, 64)
	if err != nil {
		return err
	}
	_, err = io.CopyN(s, zeros{}, count)
	return err
}
