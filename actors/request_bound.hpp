#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "state/result.hpp"

namespace weir {

/// Bounds the requests that one gateway has admitted and that wait for their answers: CAF's mailboxes
/// are unbounded, so what enters is bounded here.
/// Threads: any.
class RequestBound {
 public:
  static constexpr std::size_t max_in_flight = 1000;

  /// `whose` gateway this is, for the sentence that refuses: "the gateway to TaskManager 1".
  explicit RequestBound(std::string whose) : whose_(std::move(whose)) {}

  /// One request's place among those in flight.
  class Place {
   public:
    explicit Place(std::shared_ptr<std::atomic<std::size_t>> taken) : taken_(std::move(taken)) {}
    ~Place() { leave(); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    /// Gives the place back: the request is answered. The destructor does so too.
    void leave() {
      if (const auto taken = std::exchange(taken_, nullptr)) taken->fetch_sub(1);
    }

   private:
    std::shared_ptr<std::atomic<std::size_t>> taken_;  ///< null once it has been given back
  };

  /// Takes a place. Errors: `limit_exceeded` while `max_in_flight` requests wait.
  [[nodiscard]] Result<std::shared_ptr<Place>> admit() const {
    static_assert(max_in_flight == 1000, "the sentence below says so");
    if (taken_->fetch_add(1) < max_in_flight) return std::make_shared<Place>(taken_);
    taken_->fetch_sub(1);
    return error(Errc::limit_exceeded,
                 whose_ + " has 1,000 requests waiting, as many as it takes; try again later");
  }

 private:
  const std::string whose_;
  /// Shared with the places, which may outlive the gateway.
  std::shared_ptr<std::atomic<std::size_t>> taken_ = std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace weir
