package main

import (
	"context"
	"strings"
)

func powerTable(ctx context.Context, c *config, b *strings.Builder) error  { return nil }
