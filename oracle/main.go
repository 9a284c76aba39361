// The oracle answers what upstream's own libraries answer: one JSON question a line in, one JSON answer a line out.
//
// A question is {"id", "kind", ...}; an answer {"id", "out"} or {"id", "error"}. Each kind is one file of this folder with one line in
// `kinds`. A panic of upstream's code is an answer too: {"panic"}.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

var kinds = map[string]func(json.RawMessage) (any, error){
	"template":   askTemplate,
	"yaml":       askYAML,
	"helm":       askHelm,
	"build":      askBuild,
	"document":   askDocument,
	"directory":  askDirectory,
	"substitute": askSubstitute,
}

type answer struct {
	ID    json.RawMessage `json:"id"`
	Out   any             `json:"out,omitempty"`
	Error string          `json:"error,omitempty"`
	Panic string          `json:"panic,omitempty"`
}

func ask(line []byte) (a answer) {
	var head struct {
		ID   json.RawMessage `json:"id"`
		Kind string          `json:"kind"`
	}
	defer func() {
		if r := recover(); r != nil {
			a.Panic = fmt.Sprint(r)
		}
	}()
	if err := json.Unmarshal(line, &head); err != nil {
		a.Error = "oracle: " + err.Error()
		return a
	}
	a.ID = head.ID
	kind := kinds[head.Kind]
	if kind == nil {
		a.Error = "oracle: no kind " + head.Kind
		return a
	}
	out, err := kind(line)
	a.Out = out
	if err != nil {
		a.Error = err.Error()
	}
	return a
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 1 {
			if err := encoder.Encode(ask(line)); err != nil {
				panic(err)
			}
			// One question at a time waits for its answer; a pipe full of them is answered in bulk.
			if in.Buffered() == 0 {
				out.Flush()
			}
		}
		if err != nil {
			out.Flush()
			return
		}
	}
}
