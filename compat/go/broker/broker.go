// Package broker starts, kills and restarts the broker under test, and reads what it stored. The work is done by
// compat/broker and compat/segment.
package broker

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"felice/compat/check"
)

// Broker is one broker in a folder of its own.
type Broker struct {
	Address string
	data    string
	folder  string
	compat  string
}

// Start starts a broker with these settings (`name=value`). `compat` is the folder of that name in the repository.
func Start(compat string, settings ...string) *Broker {
	folder, failure := os.MkdirTemp("", "felice-go")
	check.Must(failure, "a temporary folder")
	b := &Broker{compat: compat, folder: folder}
	arguments := []string{"start", folder}
	for _, setting := range settings {
		arguments = append(arguments, "--set", setting)
	}
	b.Address = b.run("broker", arguments...)
	b.data = b.run("broker", "data", folder)
	return b
}

// Kill is a SIGKILL; it returns when the process is gone.
func (b *Broker) Kill() { b.run("broker", "kill", b.folder) }

// Stop is a clean stop; it returns when the process is gone.
func (b *Broker) Stop() { b.run("broker", "stop", b.folder) }

// Restart starts it again on the same address.
func (b *Broker) Restart() {
	address := b.run("broker", "start", b.folder)
	check.Require(address == b.Address, "the address after a restart is %s instead of %s", address, b.Address)
}

// Remove kills the process, should it live, and removes the folder.
func (b *Broker) Remove() {
	b.Kill()
	os.RemoveAll(b.folder)
}

// Log prints the end of what the broker printed.
func (b *Broker) Log() {
	text, _ := os.ReadFile(filepath.Join(b.folder, "log"))
	lines := strings.Split(string(text), "\n")
	fmt.Fprintln(os.Stderr, strings.Join(lines[max(0, len(lines)-30):], "\n"))
}

// Codecs are the names of the codecs that the stored batches of a topic carry, sorted.
func (b *Broker) Codecs(topic string) []string {
	return strings.Fields(b.run("segment", "codecs", b.data, topic))
}

// Batches has a line for each stored batch of a partition: base offset, last offset, count, codec, producer id.
func (b *Broker) Batches(topic string, partition int32) []string {
	lines := b.run("segment", "batches", b.data, topic, fmt.Sprint(partition))
	if lines == "" {
		return nil
	}
	return strings.Split(lines, "\n")
}

func (b *Broker) run(tool string, arguments ...string) string {
	command := exec.Command(filepath.Join(b.compat, tool), arguments...)
	command.Stderr = os.Stderr
	printed, failure := command.Output()
	check.Must(failure, "%s %s", tool, strings.Join(arguments, " "))
	return strings.TrimSpace(string(printed))
}
