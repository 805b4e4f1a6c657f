#ifndef NARK_SECURESPACE_SERVICE_H_
#define NARK_SECURESPACE_SERVICE_H_

#include <grpcpp/support/server_callback.h>

#include "nark/v1/secure_space.grpc.pb.h"
#include "securespace/secure_space.h"

namespace nark::securespace {

// nark.v1.SecureSpace over the interface. Keys leave in messages that gRPC frees
// without wiping, as they would on any bus to a card: whoever may connect to the
// socket is entitled to them. Thread-safe.
class SecureSpaceService final : public v1::SecureSpace::CallbackService {
 public:
  explicit SecureSpaceService(SecureSpace& space) : space_(space) {}

  grpc::ServerUnaryReactor* GetIdentity(grpc::CallbackServerContext* context,
                                        const v1::GetIdentityRequest* request,
                                        v1::GetIdentityResponse* response) override;
  grpc::ServerUnaryReactor* Attest(grpc::CallbackServerContext* context,
                                   const v1::AttestRequest* request,
                                   v1::AttestResponse* response) override;
  grpc::ServerUnaryReactor* InstallGrant(grpc::CallbackServerContext* context,
                                         const v1::InstallGrantRequest* request,
                                         v1::InstallGrantResponse* response) override;
  grpc::ServerUnaryReactor* ReleaseKeys(grpc::CallbackServerContext* context,
                                        const v1::ReleaseKeysRequest* request,
                                        v1::ReleaseKeysResponse* response) override;
  grpc::ServerUnaryReactor* OpenAdus(grpc::CallbackServerContext* context,
                                     const v1::OpenAdusRequest* request,
                                     v1::OpenAdusResponse* response) override;
  grpc::ServerUnaryReactor* OpenMarkedBlock(grpc::CallbackServerContext* context,
                                            const v1::OpenMarkedBlockRequest* request,
                                            v1::OpenMarkedBlockResponse* response) override;
  grpc::ServerUnaryReactor* GetDeliveryNote(grpc::CallbackServerContext* context,
                                            const v1::GetDeliveryNoteRequest* request,
                                            v1::GetDeliveryNoteResponse* response) override;

 private:
  SecureSpace& space_;
};

}  // namespace nark::securespace

#endif  // NARK_SECURESPACE_SERVICE_H_
