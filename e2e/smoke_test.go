package e2e
import ("testing";"net";"context")
func prepareClaude(ctx context.Context) error { return nil }
func TestWorld(t *testing.T){ w:=newWorld(t); c,err:=net.Dial("tcp","192.0.2.1:443"); if err!=nil{t.Fatal(err)}; var b [1]byte; c.Read(b[:]); c.Close(); w.mu.Lock(); t.Log(w.hits); w.hits=nil; w.mu.Unlock(); w.check(t)}
