package rope

import (
	"container/list"
	"sync"
)

// A cache keeps the blocks that were used last. Several callers that want the
// same block wait for one decoder.
type cache struct {
	mu    sync.Mutex
	limit int
	used  *list.List // of *cached, the last used in front
	byID  map[int]*list.Element
}

type cached struct {
	id   int
	once sync.Once
	b    []byte
	err  error
}

func newCache(limit int) *cache {
	return &cache{limit: limit, used: list.New(), byID: make(map[int]*list.Element)}
}

// get returns block id, decoding it if it is not there. Errors are not kept.
func (c *cache) get(id int, decode func() ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	el, ok := c.byID[id]
	if ok {
		c.used.MoveToFront(el)
	} else {
		el = c.used.PushFront(&cached{id: id})
		c.byID[id] = el
		if c.used.Len() > c.limit {
			c.drop(c.used.Back())
		}
	}
	e := el.Value.(*cached)
	c.mu.Unlock()
	e.once.Do(func() { e.b, e.err = decode() })
	if e.err != nil {
		c.mu.Lock()
		if c.byID[id] == el {
			c.drop(el)
		}
		c.mu.Unlock()
	}
	return e.b, e.err
}

// drop forgets an entry; whoever holds it keeps its bytes.
func (c *cache) drop(el *list.Element) {
	c.used.Remove(el)
	delete(c.byID, el.Value.(*cached).id)
}
