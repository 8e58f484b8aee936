package certs

import "context"

// Warn is what Run does each minute for old certificates.
func (k *Keeper) Warn() { k.warn() }

// Refresh is what Run does each minute and after a change.
func (k *Keeper) Refresh(ctx context.Context) { k.refresh(ctx) }
