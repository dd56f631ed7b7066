#include "backends/memory/memory_state_backend.hpp"

#include "backends/memory/heap_keyed_state_backend.hpp"

namespace weir {

Result<std::unique_ptr<KeyedStateBackend>> MemoryStateBackend::create_keyed_state_backend(
    const KeyedStateBackendContext& context) {
  return std::make_unique<HeapKeyedStateBackend>(context, false, budget_, native_);
}

SnapshotPlacement MemoryStateBackend::placement(SnapshotKind kind) const {
  if (kind != SnapshotKind::checkpoint) return {};
  return {.files = false,
          .inline_threshold_bytes = max_payload_bytes_,
          .max_state_bytes = max_state_bytes_,
          .max_payload_bytes = max_payload_bytes_};
}

}  // namespace weir
