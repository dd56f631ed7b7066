#include "backends/memory/image_snapshot_task.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace weir {

namespace {

/// Holds back what comes in one piece, until it is known whether it is wanted.
class HeldSink final : public SnapshotSink {
 public:
  explicit HeldSink(SnapshotSink& sink) : sink_(sink) {}
  Status append(std::string_view bytes) override {
    if (held_.empty() && !passing_) {
      held_ = bytes;
      return {};
    }
    WEIR_TRY(pass());
    return sink_.append(bytes);
  }
  std::uint64_t position() const override { return sink_.position() + held_.size(); }
  /// Whether nothing has gone on so far.
  [[nodiscard]] bool holds_all() const { return !passing_; }
  [[nodiscard]] Status pass() {
    passing_ = true;
    return held_.empty() ? Status() : sink_.append(std::exchange(held_, {}));
  }

 private:
  SnapshotSink& sink_;
  std::string held_;
  bool passing_ = false;
};

/// Puts the pieces of a table together into handles and numbers the locations.
class HandleBuilder {
 public:
  void add(const std::string& state, const TableImages& images) {
    std::map<std::pair<std::uint64_t, std::uint32_t>, std::vector<KeyGroupExtent>> parts;
    for (const ImageChain& chain : images.groups)
      for (const ImagePiece& piece : chain)
        parts[{piece.sequence, locations_.number_of(piece.location)}].push_back(piece.extent);
    for (auto& [place, groups] : parts)
      snapshot_.handles.push_back(
          {state, place.second, std::move(groups), StateFormat::segments, place.first});
  }
  [[nodiscard]] KeyedSnapshot finish() && {
    snapshot_.reused = std::move(locations_).reused();
    return std::move(snapshot_);
  }

 private:
  KeyedSnapshot snapshot_;
  LocationNumbers locations_;
};

}  // namespace

Result<KeyedSnapshot> ImageSnapshotTask::run(SnapshotSink& sink) {
  HandleBuilder handles;
  for (State& state : states_) {
    const std::string name = state.table->declaration().name;
    sink.begin_state(name);
    WEIR_TRY_ASSIGN(images, write_table(state, sink));
    state.table.reset();  // its memory can be reused while the others are written
    handles.add(name, images);
    written_.emplace(name, std::move(images));
  }
  return std::move(handles).finish();
}

Result<TableImages> ImageSnapshotTask::write_table(const State& state, SnapshotSink& sink) const {
  const KeyGroupRange range = state.table->groups();
  TableImages images{state.table->epoch(), {}};
  std::vector<bool> compacted(range.size(), true);
  if (state.base != nullptr) {
    images.groups = state.base->groups;
    compacted = choose_compacted(images.groups);
  } else {
    images.groups.resize(range.size());
  }
  for (std::uint32_t i = 0; i < range.size(); ++i) {
    const std::uint32_t group = range.first + i;
    ImageChain& chain = images.groups[i];
    const bool whole =
        compacted[i] || chain.empty() || state.table->is_new_since(group, state.base->epoch);
    WEIR_TRY(whole ? write_whole(*state.table, group, chain, sink)
                   : write_changes(*state.table, group, state.base->epoch, chain, sink));
    state.table->finish_group(group);
  }
  return images;
}

Status ImageSnapshotTask::write_whole(const FrozenTable& table, std::uint32_t group,
                                      ImageChain& chain, SnapshotSink& sink) const {
  chain.clear();
  if (table.entries(group) == 0) return {};
  WEIR_TRY_ASSIGN(extent, table.write_images(group, 0, sink));
  chain.push_back({checkpoint_.value, nullptr, extent});
  return {};
}

Status ImageSnapshotTask::write_changes(const FrozenTable& table, std::uint32_t group,
                                        std::uint32_t base_epoch, ImageChain& chain,
                                        SnapshotSink& sink) const {
  HeldSink held(sink);
  WEIR_TRY_ASSIGN(extent, table.write_images(group, base_epoch, held));
  // Laying the same bytes a second time changes nothing: so is it where nothing was written.
  const KeyGroupExtent& last = chain.back().extent;
  if (held.holds_all() && extent.length == last.length && extent.checksum == last.checksum)
    return {};
  WEIR_TRY(held.pass());
  chain.push_back({checkpoint_.value, nullptr, extent});
  return {};
}

void ImageSnapshotTask::payload_durable(const DataLocation& payload) {
  if (chains_ == nullptr) return;
  const auto location = std::make_shared<const DataLocation>(payload);
  for (auto& [name, images] : written_)
    for (ImageChain& chain : images.groups)
      for (ImagePiece& piece : chain)
        if (piece.location == nullptr) piece.location = location;
  chains_->remember(checkpoint_, std::move(written_));
}

}  // namespace weir
