package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/lytics/grid/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// failure returns the error that a text asks for: an error of the library or of contexts by its
// word, a gRPC status by `status:<code>:<text>`, a text of the given length by `long:<bytes>`,
// otherwise the text itself.
func failure(text string) error {
	switch text {
	case "deadline":
		return context.DeadlineExceeded
	case "canceled":
		return context.Canceled
	case "busy":
		// An actor returns this when it passes on the error of its own request.
		return grid.ErrReceiverBusy
	}
	words := strings.SplitN(text, ":", 3)
	if len(words) == 3 && words[0] == "status" {
		if code, err := strconv.Atoi(words[1]); err == nil {
			return status.Error(codes.Code(code), words[2])
		}
	}
	if len(words) == 2 && words[0] == "long" {
		if length, err := strconv.Atoi(words[1]); err == nil {
			return errors.New(strings.Repeat("x", length))
		}
	}
	return errors.New(text)
}
