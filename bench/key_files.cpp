#include "bench/key_files.hpp"

#include <cmath>
#include <fstream>
#include <stdexcept>

namespace weir::bench {

namespace {

class Numbers {
 public:
  std::uint64_t next() {
    std::uint64_t a = state_[0];
    const std::uint64_t b = state_[1];
    state_[0] = b;
    a ^= a << 23;
    state_[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
    return state_[1] + b;
  }
  /// From 0 up to, not including, 1.
  double fraction() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_[2] = {7, 0x9e3779b97f4a7c15ULL};  // the seed is 7
};

/// Ranks from 0 up to, not including, `n`; rank 0 is the most frequent.
class ZipfRanks {
 public:
  explicit ZipfRanks(std::uint64_t n) : n_(static_cast<double>(n)) {
    for (std::uint64_t i = 1; i <= n; ++i) zeta_ += std::pow(static_cast<double>(i), -theta);
    const double zeta_2 = 1 + std::pow(2.0, -theta);
    eta_ = (1 - std::pow(2 / n_, 1 - theta)) / (1 - zeta_2 / zeta_);
  }
  std::uint64_t rank(double u) const {
    const double uz = u * zeta_;
    if (uz < 1) return 0;
    if (uz < 1 + std::pow(0.5, theta)) return 1;
    const double rank = n_ * std::pow(eta_ * u - eta_ + 1, 1 / (1 - theta));
    return static_cast<std::uint64_t>(std::min(rank, n_ - 1));
  }

 private:
  static constexpr double theta = 0.99;
  double n_;
  double zeta_ = 0;
  double eta_ = 0;
};

}  // namespace

void write_keys(const std::string& path, Distribution distribution, std::uint64_t keys,
                std::size_t count) {
  std::vector<std::uint64_t> drawn(count);
  Numbers numbers;
  if (distribution == Distribution::uniform) {
    for (std::uint64_t& key : drawn) key = 1 + numbers.next() % keys;
  } else {
    const ZipfRanks ranks(keys);
    for (std::uint64_t& key : drawn) key = 1 + ranks.rank(numbers.fraction()) * 2654435761 % keys;
  }
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(drawn.data()),
            static_cast<std::streamsize>(drawn.size() * sizeof(drawn[0])));
  out.close();
  if (!out) throw std::runtime_error("cannot write " + path);
}

std::vector<std::uint64_t> read_keys(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  const std::streamoff bytes = in ? std::streamoff(in.tellg()) : 0;
  std::vector<std::uint64_t> keys(static_cast<std::size_t>(bytes) / sizeof(std::uint64_t));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(keys.data()),
          static_cast<std::streamsize>(keys.size() * sizeof(keys[0])));
  if (!in || keys.empty()) throw std::runtime_error("cannot read keys from " + path);
  return keys;
}

}  // namespace weir::bench
