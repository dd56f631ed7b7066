#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/batch.hpp"
#include "runtime/channel.hpp"
#include "state/key_context.hpp"

namespace weir {

/// Deals one operator output out to the consumer's subtasks. Collects partly filled batches per
/// channel; an event first sends them off.
/// Threads: belongs to the producing task.
class ExchangeWriter {
 public:
  virtual ~ExchangeWriter() = default;
  ExchangeWriter(const ExchangeWriter&) = delete;
  ExchangeWriter& operator=(const ExchangeWriter&) = delete;

  /// Takes the records of `batch`, which is left empty; may take the batch itself.
  virtual void write(std::unique_ptr<AnyBatch>& batch) = 0;
  /// Sends off every partly filled batch.
  virtual void flush() = 0;
  /// True if records wait in a partly filled batch.
  [[nodiscard]] virtual bool has_partial() const = 0;

  /// Sends `event` to every channel, behind everything written so far.
  void broadcast(const auto& event) {
    flush();
    for (const auto& channel : channels_) channel->push(StreamElement(event));
  }
  /// False if some channel has no room; its producer is then woken when it has.
  [[nodiscard]] bool has_room() {
    bool room = true;
    for (const auto& channel : channels_) room = channel->has_room() && room;
    return room;
  }

 protected:
  explicit ExchangeWriter(std::vector<std::shared_ptr<Channel>> channels)
      : channels_(std::move(channels)) {}
  std::vector<std::shared_ptr<Channel>> channels_;
};

/// What the writers of records of type `T` share: one partly filled batch per channel.
template <class T>
class TypedExchangeWriter : public ExchangeWriter {
 public:
  void flush() override {
    for (std::size_t i = 0; i < channels_.size(); ++i)
      if (partial_[i] && partial_[i]->size() > 0) send(i);
  }
  [[nodiscard]] bool has_partial() const override {
    for (const auto& batch : partial_)
      if (batch && batch->size() > 0) return true;
    return false;
  }

 protected:
  explicit TypedExchangeWriter(std::vector<std::shared_ptr<Channel>> channels)
      : ExchangeWriter(std::move(channels)), partial_(channels_.size()) {}

  /// The batch that collects for channel `i`.
  Batch<T>& partial(std::size_t i) {
    if (!partial_[i]) {
      auto spent = channels_[i]->take_spent();
      partial_[i] = spent ? std::unique_ptr<Batch<T>>(static_cast<Batch<T>*>(spent.release()))
                          : std::make_unique<Batch<T>>();
    }
    return *partial_[i];
  }
  void send(std::size_t i) {
    channels_[i]->push(std::unique_ptr<AnyBatch>(std::move(partial_[i])));
  }

  /// Sends `batch` whole to channel `i` if nothing waits there and it is worth it, else appends it.
  void forward(std::size_t i, std::unique_ptr<AnyBatch>& batch) {
    auto& typed = static_cast<Batch<T>&>(*batch);
    const bool waiting = partial_[i] && partial_[i]->size() > 0;
    if (!waiting && typed.size() >= batch_capacity_records / 2) {
      std::unique_ptr<AnyBatch> replacement = channels_[i]->take_spent();
      if (!replacement) replacement = std::make_unique<Batch<T>>();
      channels_[i]->push(std::exchange(batch, std::move(replacement)));
      return;
    }
    for (std::size_t r = 0; r < typed.size(); ++r) append(i, typed, r);
    typed.clear();
  }
  /// Moves record `r` of `from` to channel `i`.
  void append(std::size_t i, Batch<T>& from, std::size_t r) {
    Batch<T>& to = partial(i);
    // A batch in which only some records have a time says so of the others.
    if (!from.times.empty() || !to.times.empty()) {
      to.times.resize(to.values.size(), no_event_time);
      to.times.push_back(from.times.empty() ? no_event_time : from.times[r]);
    }
    to.add(std::move(from.values[r]));
    if (!from.hashes.empty()) to.hashes.push_back(from.hashes[r]);
    if (to.full()) send(i);
  }

 private:
  std::vector<std::unique_ptr<Batch<T>>> partial_;
};

/// Subtask i to subtask i, where the two are not chained.
template <class T>
class ForwardWriter final : public TypedExchangeWriter<T> {
 public:
  explicit ForwardWriter(std::vector<std::shared_ptr<Channel>> channels)
      : TypedExchangeWriter<T>(std::move(channels)) {}
  void write(std::unique_ptr<AnyBatch>& batch) override { this->forward(0, batch); }
};

/// Round-robin over all subtasks, a batch at a time.
template <class T>
class RebalanceWriter final : public TypedExchangeWriter<T> {
 public:
  /// `first` is the channel of the first batch, so that producers do not all begin at the same one.
  RebalanceWriter(std::vector<std::shared_ptr<Channel>> channels, std::size_t first)
      : TypedExchangeWriter<T>(std::move(channels)), next_(first % this->channels_.size()) {}
  void write(std::unique_ptr<AnyBatch>& batch) override {
    this->forward(next_, batch);
    next_ = (next_ + 1) % this->channels_.size();
  }

 private:
  std::size_t next_;
};

/// Every record to every subtask.
template <class T>
class BroadcastWriter final : public TypedExchangeWriter<T> {
 public:
  explicit BroadcastWriter(std::vector<std::shared_ptr<Channel>> channels)
      : TypedExchangeWriter<T>(std::move(channels)) {}
  void write(std::unique_ptr<AnyBatch>& batch) override {
    for (std::size_t i = 1; i < this->channels_.size(); ++i) {
      auto copy = batch->clone();
      this->forward(i, copy);
    }
    this->forward(0, batch);
  }
};

/// By key group, to the subtask that owns it. Computes each record's hash once and sends it along.
template <class T, class KeySelector>
class HashWriter final : public TypedExchangeWriter<T> {
 public:
  using Key = std::remove_cvref_t<std::invoke_result_t<const KeySelector&, const T&>>;
  HashWriter(std::vector<std::shared_ptr<Channel>> channels, KeySelector selector,
             std::uint32_t max_parallelism)
      : TypedExchangeWriter<T>(std::move(channels)),
        selector_(std::move(selector)),
        group_of_(max_parallelism) {
    const auto parallelism = static_cast<std::uint32_t>(this->channels_.size());
    channel_of_group_.resize(max_parallelism);
    for (std::uint32_t group = 0; group < max_parallelism; ++group)
      channel_of_group_[group] =
          static_cast<std::uint16_t>(subtask_of(group, parallelism, max_parallelism));
  }
  void write(std::unique_ptr<AnyBatch>& batch) override {
    auto& typed = static_cast<Batch<T>&>(*batch);
    typed.hashes.resize(typed.size());
    for (std::size_t r = 0; r < typed.size(); ++r)
      typed.hashes[r] = hash_key<Key>(selector_(std::as_const(typed.values[r])));
    if (this->channels_.size() == 1) {
      this->forward(0, batch);
      return;
    }
    for (std::size_t r = 0; r < typed.size(); ++r)
      this->append(channel_of_group_[group_of_(typed.hashes[r])], typed, r);
    typed.clear();
  }

 private:
  KeySelector selector_;
  KeyGroupMapper group_of_;
  std::vector<std::uint16_t> channel_of_group_;
};

}  // namespace weir
