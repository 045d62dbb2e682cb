package placement

// Table is a durable map of small records; store.Table fits. See there for the contract.
type Table interface {
	Get(key string) (value []byte, ok bool, err error)
	Put(key string, value []byte) error
	CompareAndSwap(key string, old, new []byte) (swapped bool, err error)
	Each(fn func(key string, value []byte) error) error
}
