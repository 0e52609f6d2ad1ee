// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "transport/fifo/named_fifos.h"
#include "transport/rendezvous.h"

namespace nearcall::transport::fifo {

// The server's half, over the pair of FIFOs of one client. That is of this process's own user, or is root, who could be
// that user: nobody else can open them. More is not known of it.
std::unique_ptr<ServerHandshake> StartHandshake(Fifos pair, ServeParams params);

}  // namespace nearcall::transport::fifo
