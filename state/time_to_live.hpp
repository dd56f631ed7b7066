#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "state/clock.hpp"
#include "state/codec.hpp"
#include "state/list_value.hpp"
#include "state/result.hpp"
#include "state/snapshot_metadata.hpp"

namespace weir {

/// What makes an entry of a state with a time to live young again.
enum class TtlUpdateType : std::uint8_t {
  on_create_and_write,
  on_read_and_write  ///< reading is a write then, and costs as much
};

/// How long the entries of a state live.
///
///   count_ = context.state(ValueStateDescriptor<long>{"count", StateTtlConfig{std::chrono::hours(24)}});
///
/// An entry expires when `time_to_live` has passed in processing time since it was last written (or
/// read, as `update_type` says). An entry is the value of a key; in a list state each element, in a map
/// state each map key has a time of its own.
///
/// An expired entry is never returned, as with Flink's `NeverReturnExpired`, which is the only
/// visibility there is. It is removed when it is found, left out of canonical snapshots, and removed in
/// the background while records flow: a bounded number of entries in memory is looked at after each slice,
/// and a database drops it when it merges its files.
/// Segment images (native savepoints, incremental checkpoints) are the memory as it lies, so it is in
/// them until it has been removed; whoever reads entries from images does not get it.
///
/// A snapshot holds the time of the last access, not that of the end: a job that is started with another
/// `time_to_live` applies it to what it restores. A state cannot gain or lose its time to live.
///
/// The time is the wall clock's (see `StateTime`) and is the same during a slice of a batch, at most
/// about a millisecond, so what `contains` has seen `value` returns.
struct StateTtlConfig {
  std::chrono::milliseconds time_to_live{0};  ///< above 0
  TtlUpdateType update_type = TtlUpdateType::on_create_and_write;
};

/// The processing time that states with a time to live go by, in milliseconds since 1970.
///
/// It follows the wall clock and never goes back: when the wall clock has jumped back, it goes on from
/// where it was at the pace of the monotonic clock until the wall clock has caught up. So an entry never
/// lives shorter because the clock jumped back, neither one written before nor one written after. A jump
/// forward is believed. In a new process the time begins at that process's wall clock; if that is behind,
/// what was restored lives longer by the difference.
/// Threads: one owner, the task's.
class StateTime {
 public:
  /// `clock` outlives it.
  explicit StateTime(const Clock& clock) : clock_(clock) { advance(); }
  /// The time when `advance` was last called: before each slice of records.
  [[nodiscard]] std::int64_t now_ms() const { return now_ms_; }
  void advance() {
    const MonotonicTime monotonic = clock_.now();
    const std::int64_t wall_ms = clock_.wall_now().time_since_epoch().count();
    const auto passed = std::chrono::floor<std::chrono::milliseconds>(monotonic - since_);
    if (wall_ms >= now_ms_) {
      now_ms_ = wall_ms;
      since_ = monotonic;
    } else {
      now_ms_ += passed.count();
      since_ += passed;
    }
  }
  /// The time that `advance` would go on to.
  [[nodiscard]] std::int64_t read_ms() const {
    StateTime later = *this;
    later.advance();
    return later.now_ms_;
  }

 private:
  const Clock& clock_;
  std::int64_t now_ms_ = INT64_MIN;
  MonotonicTime since_;  // when `now_ms_` was reached; what is below a millisecond is kept
};

/// The time to live of one state. Shared by its table and its handles.
struct TimeToLive {
  std::shared_ptr<StateTime> time;
  StateTtlConfig config;

  [[nodiscard]] bool renews_on_read() const {
    return config.update_type == TtlUpdateType::on_read_and_write;
  }
  [[nodiscard]] std::int64_t now_ms() const { return time->now_ms(); }
  /// What was last accessed at this time or before has expired.
  [[nodiscard]] std::int64_t newest_expired_ms() const {
    return time->now_ms() - config.time_to_live.count();
  }
};

/// Errors: `invalid_argument` if the time to live is not above 0; the sentence lacks the state's name.
[[nodiscard]] inline Status check_ttl(const StateTtlConfig& config) {
  if (config.time_to_live.count() > 0) return {};
  return error(Errc::invalid_argument, "its time to live is " +
                                           std::to_string(config.time_to_live.count()) +
                                           " ms; give one above 0, or none for state that stays");
}

/// A value (an element of a list, a map key's value) and when it was last accessed: what a state with a
/// time to live stores in its place.
template <Described T>
struct Timed {
  std::int64_t accessed_at_ms = INT64_MIN;  ///< of `StateTime`; a new one has expired
  T value{};
};

template <class T>
inline constexpr bool is_timed = false;
template <class T>
inline constexpr bool is_timed<Timed<T>> = true;

/// The name of the structure that describes a `Timed` in snapshots; no C++ type is called so.
inline constexpr std::string_view timed_schema_name = "weir.ttl";

/// Whether the state that `declaration` describes has a time to live.
[[nodiscard]] inline bool has_time_to_live(const StateDeclaration& declaration) {
  const bool is_map = declaration.kind == StateKind::map && declaration.value.children.size() == 2;
  return (is_map ? declaration.value.children[1] : declaration.value).name == timed_schema_name;
}

template <class T>
struct Codec<Timed<T>> {
  static constexpr std::size_t fixed_width =
      Codec<T>::fixed_width == 0 ? 0 : sizeof(std::int64_t) + Codec<T>::fixed_width;
  static constexpr std::size_t min_width = sizeof(std::int64_t) + Codec<T>::min_width;
  template <Encoding E>
  static void encode(const Timed<T>& timed, ByteWriter& writer) {
    writer.number(timed.accessed_at_ms);
    Codec<T>::template encode<E>(timed.value, writer);
  }
  static void decode(ByteReader& reader, Timed<T>& timed) {
    timed.accessed_at_ms = reader.number<std::int64_t>();
    Codec<T>::decode(reader, timed.value);
  }
  static Schema schema(SchemaContext& context) {
    return {SchemaKind::structure,
            std::string(timed_schema_name),
            {},
            0,
            {detail::labelled(Codec<std::int64_t>::schema(context), "accessed_at_ms"),
             detail::labelled(Codec<T>::schema(context), "value")}};
  }
  static std::size_t heap_bytes(const Timed<T>& timed) { return Codec<T>::heap_bytes(timed.value); }
};

namespace table {

/// How much of a stored value has expired.
enum class Expiry : std::uint8_t {
  none,
  some,  ///< of a list
  all
};

/// What can be done with a value that has times in it and whose type is not known. "Expired" is what was
/// last accessed at `newest_expired_ms` or before.
struct TimedLayout {
  Expiry (*expiry)(const void* value, std::int64_t newest_expired_ms);
  /// Appends the encoding of what has not expired.
  void (*encode_live)(const void* value, std::int64_t newest_expired_ms, ByteWriter& writer);
  /// Takes out what has expired; only called when that is some.
  void (*drop_expired)(void* value, std::int64_t newest_expired_ms);
  /// The same for an encoded value: appends to `live` what an entry keeps. Bytes that do not decode are
  /// kept as they are, for those who will read them to complain.
  Expiry (*filter)(std::string_view bytes, std::int64_t newest_expired_ms, std::string& live);
};

/// One value, or the partial values of one that is folded when read, which are as young as the youngest.
template <class T>
struct TimedValueFunctions {
  static Expiry expiry(const void* value, std::int64_t newest_expired_ms) {
    const auto& timed = *static_cast<const Timed<T>*>(value);
    return timed.accessed_at_ms <= newest_expired_ms ? Expiry::all : Expiry::none;
  }
  static void encode_live(const void* value, std::int64_t, ByteWriter& writer) {
    encode(*static_cast<const Timed<T>*>(value), writer);
  }
  static void drop_expired(void*, std::int64_t) { WEIR_ASSERT(!"a value expires as a whole"); }
  static Expiry filter(std::string_view bytes, std::int64_t newest_expired_ms, std::string& live) {
    ByteReader reader(bytes);
    bool expired = true;
    do {
      expired = reader.number<std::int64_t>() <= newest_expired_ms;
      if (!expired || reader.failed()) break;
      T skipped{};
      decode(reader, skipped);
    } while (reader.remaining() > 0);
    if (expired && !reader.failed()) return Expiry::all;
    live += bytes;
    return Expiry::none;
  }
};

template <class T>
struct TimedListFunctions {
  using List = ListValue<Timed<T>>;
  static Expiry expiry(const void* value, std::int64_t newest_expired_ms) {
    std::size_t expired = 0;
    const List& list = *static_cast<const List*>(value);
    list.for_each([&](const Timed<T>& element) {
      if (element.accessed_at_ms <= newest_expired_ms) ++expired;
    });
    return expired == 0 ? Expiry::none : expired == list.size() ? Expiry::all : Expiry::some;
  }
  static void encode_live(const void* value, std::int64_t newest_expired_ms, ByteWriter& writer) {
    static_cast<const List*>(value)->for_each([&](const Timed<T>& element) {
      if (element.accessed_at_ms > newest_expired_ms) encode(element, writer);
    });
  }
  static void drop_expired(void* value, std::int64_t newest_expired_ms) {
    List& list = *static_cast<List*>(value);
    List live;
    list.for_each([&](const Timed<T>& element) {
      if (element.accessed_at_ms > newest_expired_ms) live.push_back(element);
    });
    list = std::move(live);
  }
  static Expiry filter(std::string_view bytes, std::int64_t newest_expired_ms, std::string& live) {
    const std::size_t before = live.size();
    Expiry found = Expiry::none;
    ByteReader reader(bytes);
    while (reader.remaining() > 0) {
      const std::string_view rest = bytes.substr(bytes.size() - reader.remaining());
      Timed<T> element{};
      decode(reader, element);
      if (reader.failed()) {
        live.resize(before);
        live += bytes;
        return Expiry::none;
      }
      if (element.accessed_at_ms > newest_expired_ms)
        live += rest.substr(0, rest.size() - reader.remaining());
      else
        found = Expiry::some;
    }
    return live.size() == before ? Expiry::all : found;
  }
};

template <class Functions>
inline constexpr TimedLayout timed_functions{Functions::expiry, Functions::encode_live,
                                             Functions::drop_expired, Functions::filter};

/// What expires in values of type `V`; null if nothing does.
template <class V>
inline constexpr const TimedLayout* timed_layout = nullptr;
template <class T>
inline constexpr const TimedLayout* timed_layout<Timed<T>> =
    &timed_functions<TimedValueFunctions<T>>;
template <class T>
inline constexpr const TimedLayout* timed_layout<ListValue<Timed<T>>> =
    &timed_functions<TimedListFunctions<T>>;

}  // namespace table

/// What a snapshot that was taken at one moment keeps of encoded values: all of them if the state has
/// no time to live.
/// Threads: any; also when the table is gone.
class LiveFilter {
 public:
  LiveFilter() = default;
  LiveFilter(const table::TimedLayout* timed, std::int64_t newest_expired_ms)
      : timed_(timed), newest_expired_ms_(newest_expired_ms) {}

  /// Makes `value` the part of it that has not expired, for which it may use `buffer`; false if there is
  /// none.
  [[nodiscard]] bool keep(std::string_view& value, std::string& buffer) const {
    if (timed_ == nullptr) return true;
    buffer.clear();
    if (timed_->filter(value, newest_expired_ms_, buffer) == table::Expiry::all) return false;
    value = buffer;
    return true;
  }
  /// The same for a value in memory: appends the encoding of what is kept; false if that is nothing.
  [[nodiscard]] bool encode(const void* value, void (*encode_all)(const void*, ByteWriter&),
                            ByteWriter& writer) const {
    if (timed_ == nullptr) {
      encode_all(value, writer);
      return true;
    }
    if (timed_->expiry(value, newest_expired_ms_) == table::Expiry::all) return false;
    timed_->encode_live(value, newest_expired_ms_, writer);
    return true;
  }
  [[nodiscard]] bool keeps_all() const { return timed_ == nullptr; }
  /// Whether nothing of a value in memory is kept.
  [[nodiscard]] bool drops(const void* value) const {
    return timed_ != nullptr && timed_->expiry(value, newest_expired_ms_) == table::Expiry::all;
  }

 private:
  const table::TimedLayout* timed_ = nullptr;
  std::int64_t newest_expired_ms_ = 0;
};

/// How the values of a state with a time to live expire, for those who have no table.
/// Threads: any; also when the table is gone.
struct ExpiryRule {
  const table::TimedLayout* timed = nullptr;
  std::chrono::milliseconds time_to_live{0};

  /// What has not expired at `now_ms`.
  [[nodiscard]] LiveFilter at(std::int64_t now_ms) const {
    return {timed, now_ms - time_to_live.count()};
  }
};

}  // namespace weir
