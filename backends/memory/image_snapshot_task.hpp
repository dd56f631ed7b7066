#pragma once

#include <memory>
#include <vector>

#include "backends/memory/image_chains.hpp"
#include "state/frozen_table.hpp"
#include "state/keyed_state_backend.hpp"

namespace weir {

/// Writes tables as segment images: every group whole, or what was written since the base of an
/// incremental checkpoint.
/// Threads: see `SnapshotTask`.
class ImageSnapshotTask final : public SnapshotTask {
 public:
  /// One state, and what the base of the checkpoint consists of.
  struct State {
    std::unique_ptr<FrozenTable> table;
    const TableImages* base = nullptr;  ///< of the `BackendImages` given beside it; null: write all
  };
  /// `chains` is told what the snapshot consists of once it is durable, and null if nobody builds on it.
  ImageSnapshotTask(CheckpointId checkpoint, std::vector<State> states,
                    std::shared_ptr<const BackendImages> base, std::shared_ptr<ImageChains> chains)
      : checkpoint_(checkpoint),
        states_(std::move(states)),
        base_(std::move(base)),
        chains_(std::move(chains)) {}

  [[nodiscard]] Result<KeyedSnapshot> run(SnapshotSink& sink) override;
  [[nodiscard]] bool is_shared() const override { return chains_ != nullptr; }
  void payload_durable(const DataLocation& payload) override;

 private:
  [[nodiscard]] Result<TableImages> write_table(const State& state, SnapshotSink& sink) const;
  [[nodiscard]] Status write_whole(const FrozenTable& table, std::uint32_t group, ImageChain& chain,
                                   SnapshotSink& sink) const;
  [[nodiscard]] Status write_changes(const FrozenTable& table, std::uint32_t group,
                                     std::uint32_t base_epoch, ImageChain& chain,
                                     SnapshotSink& sink) const;

  const CheckpointId checkpoint_;
  std::vector<State> states_;
  const std::shared_ptr<const BackendImages> base_;
  const std::shared_ptr<ImageChains> chains_;
  BackendImages written_;
};

}  // namespace weir
