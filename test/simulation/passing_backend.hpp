#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "state/keyed_state_backend.hpp"
#include "state/table.hpp"

namespace weir::test {

/// A backend of keyed state, of which tests override some.
class PassingKeyedState : public KeyedStateBackend {
 public:
  explicit PassingKeyedState(std::shared_ptr<KeyedStateBackend> inner) : inner_(std::move(inner)) {}
  Status restore(std::vector<RestoredKeyedState> states) override {
    return inner_->restore(std::move(states));
  }
  Status add_table(std::unique_ptr<TableBase> table) override {
    return inner_->add_table(std::move(table));
  }
  Result<bool> load_restored() override { return inner_->load_restored(); }
  std::vector<std::string> unclaimed_states() const override { return inner_->unclaimed_states(); }
  std::vector<StateDeclaration> declarations() const override { return inner_->declarations(); }
  Status store_changes() override { return inner_->store_changes(); }
  Result<std::unique_ptr<SnapshotTask>> begin_snapshot(const SnapshotRequest& request) override {
    return inner_->begin_snapshot(request);
  }
  void checkpoint_complete(CheckpointId id) override { inner_->checkpoint_complete(id); }
  Result<std::vector<std::string>> keys_of_group(std::uint32_t group) override {
    return inner_->keys_of_group(group);
  }
  std::uint64_t size_bytes() const override { return inner_->size_bytes(); }
  void dispose() override { inner_->dispose(); }

 protected:
  const std::shared_ptr<KeyedStateBackend> inner_;
};

using WrapKeyedState =
    std::function<std::unique_ptr<KeyedStateBackend>(std::shared_ptr<KeyedStateBackend>)>;

class PassingBackend final : public StateBackend {
 public:
  PassingBackend(std::shared_ptr<StateBackend> inner, WrapKeyedState wrap)
      : inner_(std::move(inner)), wrap_(std::move(wrap)) {}
  std::string_view name() const override { return inner_->name(); }
  Result<std::unique_ptr<KeyedStateBackend>> create_keyed_state_backend(
      const KeyedStateBackendContext& context) override {
    WEIR_TRY_ASSIGN(made, inner_->create_keyed_state_backend(context));
    return wrap_(std::move(made));
  }
  SnapshotPlacement placement(SnapshotKind kind) const override { return inner_->placement(kind); }

 private:
  const std::shared_ptr<StateBackend> inner_;
  const WrapKeyedState wrap_;
};

}  // namespace weir::test
