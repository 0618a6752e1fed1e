package shell_test
import ("testing";"os";"strings";"fmt";"agentprocess/internal/shell")
func TestTry(t *testing.T){ b,err:=os.ReadFile("/tmp/lines.txt"); if err!=nil{t.Skip()}; for _,l:=range strings.Split(strings.TrimRight(string(b),"\n"),"\n"){ l=strings.ReplaceAll(l,"␤","\n"); fmt.Printf("%s\n    %s\n",l,show(shell.Parse(l)))}}
