package main

import (
	"encoding/json"
	"errors"
	"time"
)

// It asks by kind, and is a kind itself.
func init() { kinds["loop"] = askLoop }

// A loop question: how many nanoseconds each of so many answers to one question takes, in a process that is warm.
func askLoop(line json.RawMessage) (any, error) {
	var q struct {
		Runs     int             `json:"runs"`
		Question json.RawMessage `json:"question"`
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	times := []int64{}
	for range q.Runs {
		since := time.Now()
		answer := ask(q.Question)
		times = append(times, time.Since(since).Nanoseconds())
		if answer.Error != "" || answer.Panic != "" {
			return nil, errors.New(answer.Error + answer.Panic)
		}
	}
	return times, nil
}
