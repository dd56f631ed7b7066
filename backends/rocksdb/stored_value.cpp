#include "backends/rocksdb/stored_value.hpp"

#include "state/bytes.hpp"

namespace weir {

namespace {

enum Form : std::uint8_t { whole = 0, one_run = 1, several_runs = 2 };

constexpr std::size_t run_bytes = 2 * sizeof(std::uint32_t);

void append_run(std::string& stored, StoredRun run) {
  ByteWriter writer(stored);
  writer.number(run.number);
  writer.number(run.bytes);
}

/// Collects what is merged.
struct Merged {
  std::string canonical;
  StoredRun first;
  StoredRun last;
  bool is_one_run = true;  // all of it, as far as operands tell

  /// False if `stored` is no operand.
  bool add(std::string_view stored) {
    const auto operand = read_stored_value(stored);
    if (!operand || operand->first.number == 0) return false;
    if (last.number == operand->first.number) {
      canonical.resize(canonical.size() - last.bytes);
      if (is_one_run) first = operand->first;
    } else if (first.number == 0) {
      first = operand->first;
    } else {
      is_one_run = false;
    }
    if (operand->first.number != operand->last.number) is_one_run = false;
    canonical += operand->canonical;
    last = operand->last;
    return true;
  }
};

}  // namespace

std::optional<StoredValue> read_stored_value(std::string_view stored) {
  if (stored.empty()) return std::nullopt;
  const auto form = static_cast<std::uint8_t>(stored.back());
  const std::size_t trailer = 1 + std::size_t{form} * run_bytes;
  if (form > several_runs || stored.size() < trailer) return std::nullopt;
  StoredValue value;
  value.canonical = stored.substr(0, stored.size() - trailer);
  ByteReader reader(stored.substr(value.canonical.size()));
  const auto read_run = [&]() -> StoredRun {
    const auto number = reader.number<std::uint32_t>();
    return {number, reader.number<std::uint32_t>()};
  };
  if (form == several_runs) value.first = read_run();
  if (form != whole) {
    value.last = read_run();
    if (value.last.number == 0 || value.last.bytes > value.canonical.size()) return std::nullopt;
  }
  if (form == one_run && value.last.bytes == value.canonical.size()) value.first = value.last;
  if (form == several_runs && (value.first.number == 0 || value.first.number == value.last.number ||
                               value.first.bytes > value.canonical.size() - value.last.bytes))
    return std::nullopt;
  return value;
}

void append_trailer(std::string& stored, StoredRun last) {
  if (last.number != 0) append_run(stored, last);
  ByteWriter(stored).number(std::uint8_t{last.number == 0 ? whole : one_run});
}

std::optional<std::string> merge_stored_values(std::optional<std::string_view> base,
                                               std::span<const std::string_view> operands) {
  Merged merged;
  if (base) {
    const auto value = read_stored_value(*base);
    if (!value) return std::nullopt;
    merged.canonical = value->canonical;
    merged.last = value->last;
  }
  for (const std::string_view operand : operands)
    if (!merged.add(operand)) return std::nullopt;
  append_trailer(merged.canonical, merged.last);
  return std::move(merged.canonical);
}

std::optional<std::string> merge_operands(std::span<const std::string_view> operands) {
  Merged merged;
  for (const std::string_view operand : operands)
    if (!merged.add(operand)) return std::nullopt;
  if (merged.is_one_run) {
    append_trailer(merged.canonical, merged.last);
  } else {
    append_run(merged.canonical, merged.first);
    append_run(merged.canonical, merged.last);
    ByteWriter(merged.canonical).number(std::uint8_t{several_runs});
  }
  return std::move(merged.canonical);
}

}  // namespace weir
