#include "runtime/stream_task.hpp"

#include <algorithm>
#include <utility>

#include "runtime/operator_label.hpp"
#include "state/table.hpp"
#include "state/thrown.hpp"

namespace weir {

namespace {

/// Ids told to be aborted before their trigger came that a source remembers.
constexpr std::size_t max_aborted_remembered = 64;
/// Counters become visible this often, and when the task runs out of work.
constexpr std::chrono::milliseconds metrics_interval(100);
constexpr std::chrono::milliseconds idle_metrics_interval(1);

/// A restart would fail the same way.
/// `begun`: the job has got beyond its beginning. At its beginning, a missing input or an output that cannot
/// be written is what somebody typed, and trying again does not help.
bool is_recoverable(const Error& failure, bool begun) {
  if (!begun && (failure.code == Errc::not_found || failure.code == Errc::io_error)) return false;
  return failure.code != Errc::state_incompatible && failure.code != Errc::corruption &&
         failure.code != Errc::invalid_argument && failure.code != Errc::already_exists;
}

std::int64_t microseconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

/// The labels of the operators of the task's chain.
std::vector<std::string> labels_of(const TaskEnvironment& environment) {
  std::vector<std::string> labels;
  for (const std::uint32_t op : environment.graph.vertices[environment.execution.vertex].operators)
    labels.push_back(operator_label(environment.description.operators[op]));
  return labels;
}

}  // namespace

StreamTask::StreamTask(TaskEnvironment environment)
    : environment_(std::move(environment)), labels_(labels_of(environment_)) {
  for (const auto& edge : environment_.inputs) {
    if (logical_inputs_.size() <= edge.input) logical_inputs_.resize(edge.input + 1);
    for (const auto& channel : edge.channels)
      inputs_.push_back({channel, edge.input, logical_inputs_[edge.input].open_channels++});
  }
  for (LogicalInput& input : logical_inputs_)
    input.watermarks = std::make_unique<WatermarkMerger>(input.open_channels);
  if (!inputs_.empty()) aligner_.emplace(inputs_.size());
  has_source_ = inputs_.empty();
}

StreamTask::~StreamTask() = default;

void StreamTask::set_wakeable(std::shared_ptr<Wakeable> wakeable) {
  {
    const std::scoped_lock lock(mutex_);
    wakeable_ = wakeable;
  }
  for (const auto& edge : environment_.inputs)
    for (const auto& channel : edge.channels) channel->set_consumer(wakeable);
  for (const auto& edge : environment_.outputs)
    for (const auto& channel : edge.channels) channel->set_producer(wakeable);
}

// ---- mails ----------------------------------------------------------------------------------------

void StreamTask::post(std::function<void()> run, std::optional<CheckpointId> trigger) {
  std::shared_ptr<Wakeable> wakeable;
  std::optional<TaskState> ended_as;
  {
    const std::scoped_lock lock(mutex_);
    ended_as = ended_as_;
    if (!ended_as) {
      mails_.push_back({std::move(run), trigger});
      has_mail_.store(true, std::memory_order_release);
      wakeable = wakeable_;
    }
  }
  if (ended_as && trigger) decline_ended(*trigger, *ended_as);
  if (wakeable) wakeable->wake();
}

void StreamTask::handle_mails() {
  if (!has_mail_.load(std::memory_order_acquire)) return;
  std::vector<Mail> mails;
  {
    const std::scoped_lock lock(mutex_);
    mails.swap(mails_);
    has_mail_.store(false, std::memory_order_relaxed);
  }
  for (const Mail& mail : mails) {
    if (!is_terminal(state_))
      mail.run();
    else if (mail.trigger)
      decline_ended(*mail.trigger, state_);
  }
}

void StreamTask::decline_ended(CheckpointId id, TaskState state) {
  if (state == TaskState::finished)
    environment_.listener->on_decline(
        id, DeclineReason::input_end_of_stream,
        "the task has finished: its input had ended and everything is committed");
  else
    environment_.listener->on_decline(id, DeclineReason::task_not_ready,
                                      "the task is " + std::string(enumerator_name(state)));
}

void StreamTask::start() {
  post([this] { started_ = true; });
}

void StreamTask::trigger_checkpoint(const CheckpointBarrier& barrier) {
  const auto begin = [this, barrier] {
    if (state_ != TaskState::running && state_ != TaskState::finishing) {
      decline(barrier.id, DeclineReason::task_not_ready,
              "the task is " + std::string(enumerator_name(state_)));
    } else if (!has_source_) {
      decline(barrier.id, DeclineReason::task_not_checkpointing,
              "the task has no source to start a barrier from");
    } else if (barrier.id > last_barrier_) {  // else: a trigger that came twice
      last_barrier_ = barrier.id;
      const bool given_up = aborted_.contains(barrier.id);
      aborted_.erase(aborted_.begin(), aborted_.upper_bound(barrier.id));
      if (given_up) {
        give_up(barrier.id);
        return;
      }
      // A newer checkpoint means that the savepoint was given up, should the notice of it be lost.
      blocked_by_.reset();
      alignment_begin_ = environment_.clock->now();
      barriers_.push_back({barrier});
      show_open_checkpoints();
    }
  };
  post(begin, barrier.id);
}

void StreamTask::notify_checkpoint_complete(CheckpointId id, SnapshotKind kind, bool ends_task) {
  post([this, id, kind, ends_task] { complete(id, kind, ends_task); });
}

void StreamTask::notify_checkpoint_aborted(CheckpointId id) {
  post([this, id] { aborted(id); });
}

void StreamTask::drain() {
  post([this] { drain_requested_ = true; });
}

void StreamTask::cancel() {
  post([this] { cancel_requested_ = true; });
}

void StreamTask::lose_channel(Error why) {
  post([this, why = std::move(why)] { fail(why); });
}

void StreamTask::look_at(std::size_t index) {
  if (has_source_ && index == 0)
    source_ready_ = true;
  else
    chain_.set_timer(index, environment_.clock->now());
}

template <class F>
Status StreamTask::guarded(F&& call) {
  const auto failed = [&](Errc code, const std::string& what) {
    return error(code, std::string(current_operator()) + ", subtask " +
                           std::to_string(environment_.execution.subtask) + ": " + what);
  };
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
      call();
      return {};
    } else {
      return call();
    }
  } catch (const OperatorError& e) {
    return failed(e.error().code, e.error().what);
  } catch (const StateAccessFailed& e) {
    return failed(e.error().code, e.error().what);
  } catch (...) {
    return failed(Errc::user_function_failed, "the user function threw" + thrown_text());
  }
}

// ---- deploying ------------------------------------------------------------------------------------

void StreamTask::deploy_next() {
  if (chain_.size() == 0) {
    if (auto made = make_operators(); !made) fail(made.error());
    return;
  }
  if (deployed_ < chain_.size()) {
    if (auto opened = open_operator(deployed_); !opened) fail(opened.error());
    ++deployed_;
    return;
  }
  while (loaded_ < chain_.size()) {
    chain_.set_current(loaded_);
    bool all = false;
    // Values of the user's types are made and decoded here.
    const Status loaded = guarded([&]() -> Status {
      WEIR_TRY_ASSIGN(done, contexts_[loaded_]->load_restored());
      all = done;
      return {};
    });
    if (!loaded) fail(loaded.error());
    // One piece a step, so that a restore can be cancelled in between.
    if (!loaded || !all) return;
    Progress prepared = Progress::done;
    const Status called = guarded([&]() -> Status {
      prepared = chain_.op(loaded_).on_restored();
      return {};
    });
    if (!called) fail(called.error());
    if (!called || prepared == Progress::more) return;
    ++loaded_;
  }
  enter_running();
}

Status StreamTask::make_operators() {
  const TaskEnvironment& env = environment_;
  const JobVertex& vertex = env.graph.vertices[env.execution.vertex];
  std::map<std::uint32_t, std::size_t> position;  // plan operator -> chain operator
  for (const std::uint32_t op : vertex.operators) {
    const OperatorDescription& description = env.description.operators[op];
    std::unique_ptr<Operator> made;
    chain_.set_current(contexts_.size());  // the one that is made next
    WEIR_TRY(guarded([&] { made = env.plan->operators[op].make(); }));
    const std::size_t inputs = position.empty() ? logical_inputs_.size() : 1;
    const std::size_t index =
        chain_.add_operator(description.uid, description.name, std::move(made),
                            static_cast<std::uint32_t>(inputs), description.source);
    position[op] = index;
    contexts_.push_back(std::make_unique<TaskOperatorContext>(env, index, labels_[index],
                                                              description, attention_for(index)));
    chain_.metrics(index).parallelism = description.parallelism;
  }
  for (std::uint32_t e = 0; e < env.description.edges.size(); ++e) {
    const EdgeDescription& edge = env.description.edges[e];
    if (!position.contains(edge.producer)) continue;
    const bool exchange =
        std::ranges::find(env.graph.exchange_edges, e) != env.graph.exchange_edges.end();
    const std::size_t producer = position[edge.producer];
    Status connected;
    if (exchange) {
      const auto output =
          std::ranges::find(env.outputs, e, [](const auto& one) { return one.edge; });
      WEIR_ASSERT(output != env.outputs.end());
      auto writer =
          env.plan->edges[e].make_writer(output->channels, env.execution.subtask,
                                         env.description.operators[edge.consumer].max_parallelism);
      connected = chain_.connect(producer, edge.output_tag, std::move(writer));
    } else {
      connected = chain_.connect(producer, edge.output_tag, position[edge.consumer]);
    }
    if (!connected)
      return error(connected.error().code, labels_[producer] + ": " + connected.error().what);
  }
  return {};
}

TaskOperatorContext::Attention StreamTask::attention_for(std::size_t index) {
  return {[this, index](MonotonicTime time) { chain_.set_timer(index, time); },
          [weak = weak_from_this(), index] {
            if (auto task = weak.lock())
              task->post([raw = task.get(), index] { raw->look_at(index); });
          }};
}

Status StreamTask::open_operator(std::size_t index) {
  TaskOperatorContext& context = *contexts_[index];
  chain_.set_current(index);
  WEIR_TRY(context.restore_operator_state());
  if (const OperatorRestore* restore = context.restored(); restore != nullptr && restore->finished)
    chain_.set_finished(index);
  WEIR_TRY(guarded([&] { return chain_.op(index).open(context); }));
  return context.check_claims();
}

void StreamTask::enter_running() {
  state_ = TaskState::running;
  last_flush_ = last_metrics_ = environment_.clock->now();
  environment_.listener->on_state(state_, {}, true);
}

// ---- running --------------------------------------------------------------------------------------

StepResult StreamTask::step() {
  WEIR_ASSERT(!is_terminal(state_));
  handle_mails();
  if (is_terminal(state_)) return StepResult::finished;
  if (cancel_requested_) {
    end(TaskState::canceled, {}, true);
    return StepResult::finished;
  }
  switch (state_) {
    case TaskState::created:
      state_ = TaskState::deploying;
      environment_.listener->on_state(state_, {}, true);
      return StepResult::busy;
    case TaskState::deploying:
      deploy_next();
      break;
    default: {
      const StepResult result = advance();
      return is_terminal(state_) ? StepResult::finished : result;
    }
  }
  return is_terminal(state_) ? StepResult::finished : StepResult::busy;
}

StepResult StreamTask::advance() {
  const MonotonicTime now = environment_.clock->now();
  if (now - last_metrics_ >= metrics_interval) update_metrics(now);
  if (now - last_flush_ >= environment_.buffer_timeout) {
    last_flush_ = now;
    chain_.flush();
  }
  if (!chain_.idle()) {
    if (chain_.needs_room() && !chain_.has_room())
      return scan_for_barriers() ? StepResult::busy : StepResult::waiting_for_room;
    const Status worked = guarded([&]() -> Status {
      chain_.run_slice(*environment_.clock);
      KeyedStateBackend* const keyed = contexts_[chain_.current()]->keyed();
      if (keyed == nullptr) return {};
      Status stored = keyed->store_changes();
      if (!stored) throw StateAccessFailed(std::move(stored.error()));
      return {};
    });
    metrics_stale_ = true;
    if (!worked) fail(worked.error());
  } else if (!barriers_.empty()) {
    if (preparing_)
      perform_checkpoint();
    else
      chain_.push_before_barrier(barriers_.front().barrier);
    preparing_ = !preparing_;
    send_cancel_markers();
  } else {
    if (chain_.push_due_timers(now)) source_ready_ = true;
    if (!chain_.idle()) return StepResult::busy;
    const bool room = chain_.has_room();
    if (has_source_) {
      const bool may_poll = started_ && !source_ended_ && !blocked_by_;
      // A source that had finished when the snapshot was taken does not run again.
      if (may_poll && (drain_requested_ || chain_.finished(0))) {
        end_source();
        return StepResult::busy;
      }
      if (may_poll && source_ready_) {
        if (!room) return StepResult::waiting_for_room;
        poll_source();
        return StepResult::busy;
      }
    } else if (take_input(room)) {
      return StepResult::busy;
    }
    if (state_ == TaskState::running && chain_.ended()) {
      state_ = TaskState::finishing;
      update_metrics(now);
      environment_.listener->on_state(state_, {}, true);
    }
    chain_.flush();
    if (now - last_metrics_ >= idle_metrics_interval) update_metrics(now);
    return room || has_source_ ? StepResult::idle : StepResult::waiting_for_room;
  }
  return StepResult::busy;
}

std::optional<MonotonicTime> StreamTask::wake_time() const {
  std::optional<MonotonicTime> wake;
  const auto no_later_than = [&](MonotonicTime time) {
    wake = wake ? std::min(*wake, time) : time;
  };
  // With work left the task waits for room, and timers wait for the work.
  if (const auto timer = chain_.next_timer(); timer && chain_.idle()) no_later_than(*timer);
  if (chain_.has_partial()) no_later_than(last_flush_ + environment_.buffer_timeout);
  if (metrics_stale_) no_later_than(last_metrics_ + metrics_interval);
  return wake;
}

void StreamTask::poll_source() {
  PollResult result = PollResult::more;
  metrics_stale_ = true;
  if (auto polled = guarded([&] { result = chain_.poll_source(); }); !polled) {
    fail(polled.error());
    return;
  }
  if (result == PollResult::nothing_now) source_ready_ = false;
  if (result == PollResult::end) end_source();
}

void StreamTask::end_source() {
  source_ended_ = true;
  chain_.push_source_end();
}

bool StreamTask::take_input(bool room) {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const std::size_t channel = (next_input_ + i) % inputs_.size();
    if (inputs_[channel].closed || aligner_->is_blocked(channel)) continue;
    const StreamElement* element = inputs_[channel].channel->peek();
    if (element == nullptr) continue;
    const bool is_barrier = std::holds_alternative<CheckpointBarrier>(*element) ||
                            std::holds_alternative<CancelCheckpointMarker>(*element);
    if (!room && !is_barrier) continue;
    next_input_ = channel + 1;
    take_element(channel);
    return true;
  }
  return false;
}

bool StreamTask::scan_for_barriers() { return !has_source_ && take_input(false); }

void StreamTask::take_element(std::size_t channel) {
  Input& input = inputs_[channel];
  StreamElement element = input.channel->pop();
  struct Visitor {
    StreamTask& task;
    std::size_t channel;
    Input& input;
    void operator()(std::unique_ptr<AnyBatch>& batch) const {
      task.chain_.push_batch(input.input, std::move(batch), input.channel.get());
    }
    void operator()(const Watermark& watermark) const {
      if (auto merged =
              task.logical_inputs_[input.input].watermarks->on_watermark(input.position, watermark))
        task.chain_.push_watermark(input.input, *merged);
    }
    void operator()(const CheckpointBarrier& barrier) const {
      const bool aligning = task.aligner_->aligning().has_value();
      auto decisions = task.aligner_->on_barrier(channel, barrier);
      if (!aligning) task.alignment_begin_ = task.environment_.clock->now();
      task.apply(decisions);
    }
    void operator()(const CancelCheckpointMarker& marker) const {
      task.apply(task.aligner_->on_cancel_marker(channel, marker));
    }
    void operator()(const EndOfInput&) const { task.on_end_of_input(input); }
    void operator()(const EndOfPartition&) const {
      input.closed = true;
      task.apply(task.aligner_->on_end_of_channel(channel));
    }
  };
  std::visit(Visitor{*this, channel, input}, element);
}

void StreamTask::on_end_of_input(Input& input) {
  if (std::exchange(input.ended, true)) return;
  LogicalInput& logical = logical_inputs_[input.input];
  const auto merged = logical.watermarks->on_end_of_input(input.position);
  if (--logical.open_channels == 0) chain_.push_end(input.input);
  if (merged)
    chain_.push_watermark(input.input, *merged);  // above the end on the stack: it goes first
}

void StreamTask::apply(const Result<AlignmentDecisions>& decisions) {
  if (!decisions) {
    fail(decisions.error());
    return;
  }
  for (const AlignmentDecision& decision : *decisions) {
    if (const auto* aligned = std::get_if<CheckpointAligned>(&decision)) {
      barriers_.push_back({aligned->barrier});
      continue;
    }
    const auto& aborted = std::get<AlignmentAborted>(decision);
    give_up(aborted.id);
    switch (aborted.reason) {
      case AlignmentAbortReason::notified:
        break;  // the coordinator knows
      case AlignmentAbortReason::subsumed:
        decline(aborted.id, DeclineReason::subsumed, to_sentence(aborted));
        break;
      case AlignmentAbortReason::on_cancellation_barrier:
        decline(aborted.id, DeclineReason::on_cancellation_barrier, to_sentence(aborted));
        break;
      case AlignmentAbortReason::limit_exceeded:
        decline(aborted.id, DeclineReason::limit_exceeded, to_sentence(aborted));
        break;
    }
  }
  show_open_checkpoints();
}

// ---- checkpoints ----------------------------------------------------------------------------------

void StreamTask::give_up(CheckpointId id) {
  const auto waiting =
      std::ranges::find(barriers_, id, [](const Turn& turn) { return turn.barrier.id; });
  if (waiting != barriers_.end())
    waiting->given_up = true;
  else
    barriers_.push_back({{id, 0, {}}, true});
  send_cancel_markers();
}

void StreamTask::send_cancel_markers() {
  for (; !barriers_.empty() && barriers_.front().given_up; barriers_.pop_front()) {
    preparing_ = false;
    chain_.broadcast(CancelCheckpointMarker{barriers_.front().barrier.id});
  }
  show_open_checkpoints();
}

void StreamTask::perform_checkpoint() {
  const CheckpointBarrier barrier = std::move(barriers_.front().barrier);
  barriers_.pop_front();
  const MonotonicTime begin = environment_.clock->now();
  CheckpointMetrics metrics;
  metrics.alignment_us = microseconds(begin - alignment_begin_);

  chain_.broadcast(barrier);
  if (barrier.options.terminal && has_source_) blocked_by_ = barrier.id;
  show_open_checkpoints();

  std::vector<FrozenOperator> operators;
  for (std::size_t i = 0; i < chain_.size(); ++i) {
    chain_.set_current(i);
    if (auto done = guarded([&] { return chain_.op(i).snapshot_state(barrier); }); !done) {
      if (done.error().code == Errc::user_function_failed)
        fail(done.error());
      else
        decline(barrier.id, DeclineReason::snapshot_failed, done.error().what);
      return;
    }
    auto frozen = guarded([&]() -> Status {
      WEIR_TRY_ASSIGN(share, contexts_[i]->freeze(barrier, chain_.finished(i)));
      operators.push_back(std::move(share));
      return {};
    });
    if (!frozen) {
      const bool limit = frozen.error().code == Errc::limit_exceeded;
      decline(barrier.id, limit ? DeclineReason::limit_exceeded : DeclineReason::snapshot_failed,
              frozen.error().what);
      return;
    }
  }
  metrics.sync_us = microseconds(environment_.clock->now() - begin);
  run_snapshot_job(barrier, std::move(operators), metrics);
}

void StreamTask::run_snapshot_job(const CheckpointBarrier& barrier,
                                  std::vector<FrozenOperator> operators,
                                  CheckpointMetrics metrics) {
  const TaskEnvironment& env = environment_;
  SnapshotPlacement placement = env.backend->placement(barrier.options.kind);
  if (barrier.options.directory.empty()) placement.files = false;
  placement.shared = std::ranges::any_of(operators, [](const FrozenOperator& frozen) {
    return frozen.keyed != nullptr && frozen.keyed->is_shared();
  });
  auto writer = std::make_unique<TaskSnapshotWriter>(
      env.storage.get(), barrier.options.directory,
      data_file_name(env.epoch, barrier.id, env.execution, *env.random), placement, *env.random);
  auto job = std::make_shared<SnapshotJob>(std::move(operators), std::move(writer));
  std::erase_if(snapshot_jobs_, [](const auto& entry) { return entry.second.expired(); });
  snapshot_jobs_[barrier.id] = job;
  snapshot_writes_->begin();
  env.io->submit([job, storage = env.storage, listener = env.listener, clock = env.clock,
                  id = barrier.id, metrics, writes = snapshot_writes_]() mutable {
    const MonotonicTime begin = clock->now();
    auto snapshot = job->run();
    metrics.async_us = microseconds(clock->now() - begin);
    if (snapshot) {
      listener->on_acknowledge(id, std::move(*snapshot), metrics);
    } else if (snapshot.error().code != Errc::cancelled) {
      const bool limit = snapshot.error().code == Errc::limit_exceeded;
      listener->on_decline(id,
                           limit ? DeclineReason::limit_exceeded : DeclineReason::snapshot_failed,
                           std::move(snapshot.error().what));
    }
    job.reset();
    writes->end();
  });
}

void StreamTask::show_open_checkpoints() {
  std::vector<CheckpointId> open;
  if (aligner_ && aligner_->aligning()) open.push_back(*aligner_->aligning());
  for (const Turn& turn : barriers_)
    if (!turn.given_up) open.push_back(turn.barrier.id);
  if (blocked_by_) open.push_back(*blocked_by_);
  std::ranges::sort(open);
  const std::scoped_lock lock(mutex_);
  open_checkpoints_ = std::move(open);
}

std::vector<CheckpointId> StreamTask::open_checkpoints() const {
  const std::scoped_lock lock(mutex_);
  return open_checkpoints_;
}

void StreamTask::decline(CheckpointId id, DeclineReason reason, std::string detail) {
  environment_.listener->on_decline(id, reason, std::move(detail));
}

void StreamTask::complete(CheckpointId id, SnapshotKind kind, bool ends_task) {
  if (state_ != TaskState::running && state_ != TaskState::finishing) return;
  for (std::size_t i = 0; i < chain_.size(); ++i) {
    chain_.set_current(i);
    if (KeyedStateBackend* keyed = contexts_[i]->keyed();
        keyed != nullptr && kind == SnapshotKind::checkpoint)
      keyed->checkpoint_complete(id);
    if (auto notified = guarded([&] { return chain_.op(i).notify_checkpoint_complete(id, kind); });
        !notified) {
      fail(notified.error());
      return;
    }
  }
  if (!ends_task) return;
  chain_.broadcast(EndOfPartition{});
  end(TaskState::finished, {}, true);
}

void StreamTask::aborted(CheckpointId id) {
  if (const auto job = snapshot_jobs_.find(id); job != snapshot_jobs_.end())
    if (auto running = job->second.lock()) running->cancel();
  if (std::ranges::find(barriers_, id, [](const Turn& turn) { return turn.barrier.id; }) !=
      barriers_.end())
    give_up(id);
  if (aligner_) apply(aligner_->abort(id));
  if (has_source_ && id > last_barrier_) {
    aborted_.insert(id);
    if (aborted_.size() > max_aborted_remembered) aborted_.erase(aborted_.begin());
  }
  if (blocked_by_ == id) blocked_by_.reset();
  show_open_checkpoints();
  if (state_ != TaskState::running && state_ != TaskState::finishing)
    return;  // operators are not open yet
  for (std::size_t i = 0; i < chain_.size() && !is_terminal(state_); ++i) {
    chain_.set_current(i);
    if (auto notified = guarded([&] { return chain_.op(i).notify_checkpoint_aborted(id); });
        !notified)
      fail(notified.error());
  }
}

// ---- ending ---------------------------------------------------------------------------------------

void StreamTask::fail(const Error& failure) {
  if (!is_terminal(state_))
    end(TaskState::failed, failure,
        is_recoverable(failure,
                       state_ != TaskState::deploying || environment_.restore.has_value()));
}

void StreamTask::end(TaskState state, const Error& failure, bool recoverable) {
  update_metrics(environment_.clock->now());
  state_ = state;
  std::vector<Mail> mails;
  {
    const std::scoped_lock lock(mutex_);
    ended_as_ = state;
    mails.swap(mails_);
  }
  for (const auto& [id, weak] : snapshot_jobs_)
    if (auto job = weak.lock(); job && state != TaskState::finished) job->cancel();
  for (const auto& context : contexts_)
    if (context->keyed() != nullptr) context->keyed()->dispose();
  snapshot_writes_->when_none([listener = environment_.listener, state, failure, recoverable] {
    listener->on_state(state, failure, recoverable);
  });
  for (const Mail& mail : mails)
    if (mail.trigger) decline_ended(*mail.trigger, state);
}

void StreamTask::update_metrics(MonotonicTime now) {
  last_metrics_ = now;
  metrics_stale_ = false;
  std::vector<OperatorMetrics> copy;
  for (std::size_t i = 0; i < chain_.size(); ++i) {
    OperatorMetrics& metrics = chain_.metrics(i);
    if (KeyedStateBackend* keyed = contexts_[i]->keyed()) metrics.state_bytes = keyed->size_bytes();
    copy.push_back(metrics);
  }
  const std::scoped_lock lock(mutex_);
  metrics_ = std::move(copy);
}

std::vector<OperatorMetrics> StreamTask::metrics() const {
  const std::scoped_lock lock(mutex_);
  return metrics_;
}

}  // namespace weir
