#include "backends/memory/heap_keyed_state_backend.hpp"

#include <algorithm>
#include <utility>

namespace weir {

namespace {

class HeapSnapshotTask final : public SnapshotTask {
 public:
  explicit HeapSnapshotTask(std::vector<std::unique_ptr<FrozenTable>> tables)
      : tables_(std::move(tables)) {}

  Result<std::vector<KeyedStateHandle>> run(SnapshotSink& sink) override {
    std::vector<KeyedStateHandle> handles;
    handles.reserve(tables_.size());
    for (std::unique_ptr<FrozenTable>& table : tables_) {
      WEIR_TRY_ASSIGN(handle, table->write(sink));
      handles.push_back(std::move(handle));
      table.reset();  // its memory can be reused while the others are written
    }
    return handles;
  }

 private:
  std::vector<std::unique_ptr<FrozenTable>> tables_;
};

}  // namespace

HeapKeyedStateBackend::HeapKeyedStateBackend(const KeyedStateBackendContext& context)
    : operator_label_(context.operator_label),
      restored_(context.operator_label, context.key_width) {}

Status HeapKeyedStateBackend::restore(std::vector<RestoredKeyedState> states) {
  WEIR_ASSERT(tables_.empty());
  restored_.set(std::move(states));
  return {};
}

Status HeapKeyedStateBackend::add_table(std::unique_ptr<TableBase> table) {
  const std::string& name = table->declaration().name;
  for (const auto& other : tables_)
    if (other->declaration().name == name)
      return error(Errc::already_exists, operator_label_ + " has two states named '" + name +
                                             "'; names are unique within an operator");
  WEIR_TRY_ASSIGN(entries, restored_.claim(table->declaration(), table->groups()));
  if (!entries.done()) loading_.emplace_back(table.get(), std::move(entries));
  tables_.push_back(std::move(table));
  return {};
}

Result<bool> HeapKeyedStateBackend::load_restored() {
  if (loading_.empty()) return true;
  auto& [table, entries] = loading_.back();
  // What the snapshot says is checked later, so it is not taken at its word for more than its bytes.
  if (const KeyGroupExtent& group = entries.group(); entries.at_group_begin())
    table->reserve(group.group, std::min(group.entries, group.length / 8));
  WEIR_TRY(entries.next([&](std::span<const EntryView> piece) -> Status {
    for (const EntryView& entry : piece) WEIR_TRY(table->insert(entry.key, entry.value));
    return {};
  }));
  if (entries.done()) loading_.pop_back();
  return loading_.empty();
}

std::vector<std::string> HeapKeyedStateBackend::unclaimed_states() const {
  return restored_.names();
}

std::vector<StateDeclaration> HeapKeyedStateBackend::declarations() const {
  std::vector<StateDeclaration> declarations;
  declarations.reserve(tables_.size());
  for (const auto& table : tables_) declarations.push_back(table->declaration());
  return declarations;
}

Status HeapKeyedStateBackend::store_changes() {
  for (const auto& table : tables_) table->reclaim();
  return {};
}

Result<std::unique_ptr<SnapshotTask>> HeapKeyedStateBackend::begin_snapshot(CheckpointId) {
  std::vector<std::unique_ptr<FrozenTable>> frozen;
  frozen.reserve(tables_.size());
  for (const auto& table : tables_) frozen.push_back(table->freeze());
  return std::make_unique<HeapSnapshotTask>(std::move(frozen));
}

Result<std::vector<std::string>> HeapKeyedStateBackend::keys_of_group(std::uint32_t group) {
  std::vector<std::string> keys;
  for (const auto& table : tables_) table->append_keys(group, keys);
  std::ranges::sort(keys);
  const auto repeated = std::ranges::unique(keys);
  keys.erase(repeated.begin(), repeated.end());
  return keys;
}

std::uint64_t HeapKeyedStateBackend::size_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& table : tables_) bytes += table->memory_bytes();
  return bytes;
}

}  // namespace weir
