package faultfs

const pageSize = 4096

// blob is the content of a file: bbolt makes its files much larger than what is in them, so holes take no room.
type blob struct {
	size  int64
	pages map[int64]*[pageSize]byte
}

func (b *blob) writeAt(p []byte, off int64) {
	if b.pages == nil {
		b.pages = map[int64]*[pageSize]byte{}
	}
	b.size = max(b.size, off+int64(len(p)))
	for len(p) > 0 {
		page := b.pages[off/pageSize]
		if page == nil {
			page = new([pageSize]byte)
			b.pages[off/pageSize] = page
		}
		n := copy(page[off%pageSize:], p)
		p, off = p[n:], off+int64(n)
	}
}

// readAt fills p from off and returns how many bytes there are.
func (b *blob) readAt(p []byte, off int64) int {
	if off >= b.size {
		return 0
	}
	p = p[:min(int64(len(p)), b.size-off)]
	for done := 0; done < len(p); {
		at := off + int64(done)
		n := min(pageSize-int(at%pageSize), len(p)-done)
		if page := b.pages[at/pageSize]; page != nil {
			copy(p[done:done+n], page[at%pageSize:])
		} else {
			clear(p[done : done+n])
		}
		done += n
	}
	return len(p)
}

func (b *blob) truncate(size int64) {
	if size < b.size {
		for n, page := range b.pages {
			switch {
			case n*pageSize >= size:
				delete(b.pages, n)
			case (n+1)*pageSize > size:
				clear(page[size%pageSize:])
			}
		}
	}
	b.size = size
}
