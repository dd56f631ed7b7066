#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "network/remote_channel.hpp"
#include "runtime/channel.hpp"

namespace weir::test {

/// Of edge `edge` of a job, in its `attempt`-th attempt.
inline ChannelId channel_id(std::uint32_t edge, std::uint32_t attempt = 0) {
  return {{1, 2}, {LeaderEpoch{1}, attempt}, edge, 0, 0};
}

inline std::unique_ptr<AnyBatch> empty_batch() { return std::make_unique<Batch<std::string>>(); }

inline StreamElement batch_of(std::vector<std::string> values) {
  auto batch = std::make_unique<Batch<std::string>>();
  for (std::string& value : values) batch->add(std::move(value));
  return std::unique_ptr<AnyBatch>(std::move(batch));
}

/// What has come through `queue` and is taken from it now, as words: records, and events by name.
inline std::vector<std::string> taken_from(Channel& queue, std::size_t most = 1'000'000) {
  std::vector<std::string> words;
  struct Visitor {
    Channel& queue;
    std::vector<std::string>& words;
    void operator()(std::unique_ptr<AnyBatch>& batch) const {
      for (const std::string& value : static_cast<Batch<std::string>&>(*batch).values)
        words.push_back(value);
      queue.recycle(std::move(batch));
    }
    void operator()(const Watermark& one) const {
      words.push_back("watermark " + std::to_string(one.time));
    }
    void operator()(const CheckpointBarrier& one) const {
      words.push_back("barrier " + std::to_string(one.id.value) + " " + one.options.directory);
    }
    void operator()(const CancelCheckpointMarker& one) const {
      words.push_back("cancel " + std::to_string(one.id.value));
    }
    void operator()(const EndOfInput&) const { words.emplace_back("end of input"); }
    void operator()(const EndOfPartition&) const { words.emplace_back("end of partition"); }
  };
  for (; most > 0 && queue.peek() != nullptr; --most) {
    StreamElement element = queue.pop();
    std::visit(Visitor{queue, words}, element);
  }
  return words;
}

}  // namespace weir::test
