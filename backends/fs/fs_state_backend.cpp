#include "backends/fs/fs_state_backend.hpp"

#include "backends/memory/heap_keyed_state_backend.hpp"

namespace weir {

Result<std::unique_ptr<KeyedStateBackend>> FsStateBackend::create_keyed_state_backend(
    const KeyedStateBackendContext& context) {
  return std::make_unique<HeapKeyedStateBackend>(context, true, budget_, native_);
}

SnapshotPlacement FsStateBackend::placement(SnapshotKind) const {
  return {.inline_threshold_bytes = memory_threshold_bytes_};
}

}  // namespace weir
