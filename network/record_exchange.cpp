#include "network/record_exchange.hpp"

#include <algorithm>
#include <utility>

namespace weir {

/// Ends whose task has pushed something, or made room, since they were last looked at.
struct RecordExchange::ReadyList {
  std::mutex mutex;  // guards the fields below
  std::vector<std::shared_ptr<Signal>> signals;
  std::shared_ptr<Wakeable> wakeable;
  bool closed = false;  ///< the exchange is gone; tasks may still push

  void add(std::shared_ptr<Signal> signal) {
    std::shared_ptr<Wakeable> woken;
    {
      const std::scoped_lock lock(mutex);
      if (closed) return;
      signals.push_back(std::move(signal));
      woken = wakeable;
    }
    if (woken) woken->wake();
  }
  void wake() {
    std::shared_ptr<Wakeable> woken;
    {
      const std::scoped_lock lock(mutex);
      woken = wakeable;
    }
    if (woken) woken->wake();
  }
};

/// Puts one end on the list, once until it is looked at.
class RecordExchange::Signal final : public Wakeable,
                                     public std::enable_shared_from_this<RecordExchange::Signal> {
 public:
  Signal(std::shared_ptr<ReadyList> list, TaskManagerId peer, ChannelId id, ChannelEnd end)
      : peer(peer), id(id), end(end), list_(std::move(list)) {}
  void wake() override {
    if (!listed_.exchange(true, std::memory_order_acq_rel)) list_->add(shared_from_this());
  }
  /// What happens from here on puts it on the list again.
  void taken() { listed_.exchange(false, std::memory_order_acq_rel); }

  const TaskManagerId peer;
  const ChannelId id;
  const ChannelEnd end;

 private:
  const std::shared_ptr<ReadyList> list_;
  std::atomic<bool> listed_{false};
};

RecordExchange::RecordExchange(TaskManagerId self, RecordTransport& transport, const Clock& clock,
                               const RecordConnectionSettings& settings,
                               std::function<void(const std::string& text)> log)
    : self_(self),
      transport_(transport),
      clock_(clock),
      settings_(settings),
      log_(std::move(log)),
      ready_(std::make_shared<ReadyList>()) {}

RecordExchange::~RecordExchange() {
  std::vector<std::shared_ptr<Signal>> listed;
  const std::scoped_lock lock(ready_->mutex);
  ready_->closed = true;
  listed.swap(ready_->signals);
}

void RecordExchange::set_wakeable(std::shared_ptr<Wakeable> wakeable) {
  const std::scoped_lock lock(ready_->mutex);
  ready_->wakeable = std::move(wakeable);
}

void RecordExchange::post(std::function<void()> mail) {
  {
    const std::scoped_lock lock(mutex_);
    mails_.push_back(std::move(mail));
  }
  ready_->wake();
}

// ---- tasks --------------------------------------------------------------------------------------

void RecordExchange::add(TaskManagerId peer, RemoteChannel channel) {
  const auto signal = std::make_shared<Signal>(ready_, peer, channel.id, channel.end);
  if (channel.end == ChannelEnd::producer)
    channel.queue->set_consumer(signal);
  else
    channel.queue->set_producer(signal);
  post([this, peer, shared = std::make_shared<RemoteChannel>(std::move(channel))] {
    Peer& to = peers_[peer];
    if (to.connection) {
      to.connection->add(std::move(*shared));
      return;
    }
    if (to.waiting.empty()) {
      to.connect_at = clock_.now();
      to.give_up_at = clock_.now() + settings_.timeout;
    }
    to.waiting.push_back(std::move(*shared));
  });
}

void RecordExchange::release(TaskManagerId peer, const ChannelId& id, ChannelEnd end) {
  post([this, peer, id, end] {
    const auto found = peers_.find(peer);
    if (found == peers_.end()) return;
    std::erase_if(found->second.waiting,
                  [&](const RemoteChannel& one) { return one.id == id && one.end == end; });
    if (found->second.connection) found->second.connection->release(id, end);
  });
}

// ---- the transport ------------------------------------------------------------------------------

std::uint64_t RecordExchange::connected(TaskManagerId peer, std::unique_ptr<RecordLink> link) {
  const std::uint64_t number = ++connections_;
  post([this, peer, number,
        shared = std::make_shared<std::unique_ptr<RecordLink>>(std::move(link))] {
    Peer& with = peers_[peer];
    // The other process would not connect again if it had not lost the old one.
    if (with.connection) lose(peer, with, "it has connected anew", true);
    with.number = number;
    with.link = std::move(*shared);
    with.connection.emplace(settings_, clock_.now());
    with.refused.clear();
    log_(between(peer) + " is there");
    for (RemoteChannel& channel : std::exchange(with.waiting, {})) {
      const ChannelId id = channel.id;
      with.connection->add(std::move(channel));
      with.connection->look_at(id, ChannelEnd::producer);
    }
  });
  return number;
}

void RecordExchange::received(std::uint64_t connection, std::string bytes) {
  post([this, connection, bytes = std::move(bytes)] {
    TaskManagerId id;
    Peer* const peer = find(connection, id);
    if (peer == nullptr) return;
    if (const Status taken = peer->connection->receive(bytes, clock_.now()); !taken)
      lose(id, *peer, taken.error().what, true);
  });
}

void RecordExchange::lost(std::uint64_t connection, std::string why) {
  post([this, connection, why = std::move(why)] {
    TaskManagerId id;
    if (Peer* const peer = find(connection, id)) lose(id, *peer, why, false);
  });
}

void RecordExchange::refused(TaskManagerId peer, std::string why) {
  post([this, peer, why = std::move(why)] { peers_[peer].refused = why; });
}

RecordExchange::Peer* RecordExchange::find(std::uint64_t connection, TaskManagerId& id) {
  for (auto& [peer, one] : peers_)
    if (one.connection && one.number == connection) {
      id = peer;
      return &one;
    }
  return nullptr;
}

std::string RecordExchange::between(TaskManagerId peer) const {
  return "the connection for records between TaskManager " + std::to_string(self_.value) +
         " and TaskManager " + std::to_string(peer.value);
}

void RecordExchange::lose(TaskManagerId id, Peer& peer, const std::string& why, bool close) {
  if (close) peer.link->close();
  const std::string sentence = between(id) + " is lost: " + why;
  log_(sentence);
  // Whatever was wrong, another connection may do better: the job may restart.
  peer.connection->lose({Errc::unavailable, sentence});
  peer.connection.reset();
  peer.link.reset();
  peer.number = 0;
  peer.has_more = false;
}

// ---- moving on ----------------------------------------------------------------------------------

bool RecordExchange::has_work() const {
  {
    const std::scoped_lock lock(mutex_);
    if (!mails_.empty()) return true;
  }
  {
    const std::scoped_lock lock(ready_->mutex);
    if (!ready_->signals.empty()) return true;
  }
  if (std::ranges::any_of(peers_, [](const auto& one) { return one.second.has_more; })) return true;
  const auto wake = wake_time();
  return wake && *wake <= clock_.now();
}

bool RecordExchange::step() {
  const bool had_work = has_work();
  take_mails();
  look_at_ready();
  const MonotonicTime now = clock_.now();
  for (auto& [id, peer] : peers_) {
    if (peer.connection)
      work_on(id, peer, now);
    else
      connect_if_due(id, peer, now);
  }
  std::erase_if(
      peers_, [](const auto& one) { return !one.second.connection && one.second.waiting.empty(); });
  return had_work;
}

void RecordExchange::take_mails() {
  std::vector<std::function<void()>> mails;
  {
    const std::scoped_lock lock(mutex_);
    mails.swap(mails_);
  }
  for (const auto& mail : mails) mail();
}

void RecordExchange::look_at_ready() {
  std::vector<std::shared_ptr<Signal>> signals;
  {
    const std::scoped_lock lock(ready_->mutex);
    signals.swap(ready_->signals);
  }
  for (const auto& signal : signals) {
    signal->taken();
    const auto found = peers_.find(signal->peer);
    if (found != peers_.end() && found->second.connection)
      found->second.connection->look_at(signal->id, signal->end);
  }
}

void RecordExchange::work_on(TaskManagerId id, Peer& peer, MonotonicTime now) {
  if (const Status alive = peer.connection->check(now); !alive) {
    lose(id, peer, alive.error().what, true);
    return;
  }
  std::string out;
  peer.has_more = peer.connection->write(out, now);
  if (!out.empty()) peer.link->send(std::move(out));
}

void RecordExchange::connect_if_due(TaskManagerId id, Peer& peer, MonotonicTime now) {
  if (peer.waiting.empty()) return;
  if (now >= peer.give_up_at) {
    const Error why{Errc::unavailable, "TaskManager " + std::to_string(self_.value) +
                                           " and TaskManager " + std::to_string(id.value) +
                                           " have no connection for records" +
                                           (peer.refused.empty() ? "" : ": " + peer.refused)};
    for (const RemoteChannel& channel : std::exchange(peer.waiting, {})) channel.on_failure(why);
    return;
  }
  if (self_ > id || now < peer.connect_at) return;
  peer.connect_at = now + connect_retry_delay;
  transport_.connect(id);
}

std::optional<MonotonicTime> RecordExchange::wake_time() const {
  std::optional<MonotonicTime> wake;
  const auto no_later_than = [&](MonotonicTime time) {
    wake = wake ? std::min(*wake, time) : time;
  };
  for (const auto& [id, peer] : peers_) {
    if (peer.connection) no_later_than(peer.connection->wake_time());
    if (peer.connection || peer.waiting.empty()) continue;
    no_later_than(peer.give_up_at);
    if (self_ < id) no_later_than(peer.connect_at);
  }
  return wake;
}

bool RecordExchange::rests() {
  return std::ranges::all_of(
      peers_, [](auto& one) { return !one.second.connection || one.second.connection->rests(); });
}

}  // namespace weir
