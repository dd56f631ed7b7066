#pragma once

#include <cstdint>

#include "state/fields.hpp"

namespace weir::bench {

/// 16 bytes, as the workload wants them.
struct Record {
  std::uint64_t key = 0;
  std::uint64_t time = 0;
};
WEIR_FIELDS(Record, key, time)

/// The record with number `i`; its key lies from 1 to `keys`, evenly spread. Source: the finaliser of
/// MurmurHash3, Appleby.
inline Record record(std::uint64_t i, std::uint64_t keys) {
  std::uint64_t x = i + 0x9e3779b97f4a7c15ULL;
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  x ^= x >> 33;
  return {1 + x % keys, i};
}

}  // namespace weir::bench
