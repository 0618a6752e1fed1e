package proxy

import (
	"encoding/binary"
	"net/netip"
	"sync"
)

// names gives listed names the synthetic addresses by which a redirected
// connection is known again. An address is never given to a second name: a
// client may have kept it. When all are given there are no new ones.
type names struct {
	mu    sync.RWMutex
	index map[string]uint32
	list  []string
}

const maxNames = 1 << 16

func newNames() *names { return &names{index: map[string]uint32{}} }

// synthetic prefixes: the benchmarking range of RFC 2544, which is routed
// nowhere, and a unique local /96 of our own.
func syntheticV4() [4]byte { return [4]byte{198, 18} }

func syntheticV6() [12]byte {
	return [12]byte{0xfd, 0x61, 0x67, 0x65, 0x6e, 0x74, 0x70, 0x72, 0x6f, 0x63}
}

// number gives the number of a normalised name, making one if there is room.
func (n *names) number(host string) (uint32, bool) {
	n.mu.RLock()
	i, ok := n.index[host]
	n.mu.RUnlock()
	if ok {
		return i, true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if i, ok = n.index[host]; ok {
		return i, true
	}
	if len(n.list) >= maxNames {
		return 0, false
	}
	n.list = append(n.list, host)
	i = uint32(len(n.list)) //nolint:gosec // at most maxNames
	n.index[host] = i
	return i, true
}

func v4Of(number uint32) [4]byte {
	b := syntheticV4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+number)
	return b
}

func v6Of(number uint32) [16]byte {
	var b [16]byte
	prefix := syntheticV6()
	copy(b[:], prefix[:])
	binary.BigEndian.PutUint32(b[12:], number)
	return b
}

// name is whose synthetic address addr is.
func (n *names) name(addr netip.Addr) (string, bool) {
	var number uint32
	switch {
	case addr.Is4():
		b, base := addr.As4(), syntheticV4()
		number = binary.BigEndian.Uint32(b[:]) - binary.BigEndian.Uint32(base[:])
	case addr.Is6():
		b := addr.As16()
		if [12]byte(b[:12]) != syntheticV6() {
			return "", false
		}
		number = binary.BigEndian.Uint32(b[12:])
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if number == 0 || uint64(number) > uint64(len(n.list)) {
		return "", false
	}
	return n.list[number-1], true
}
