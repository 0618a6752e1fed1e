// Command agent-process runs coding agents in sandboxes.
package main

func main() {}
