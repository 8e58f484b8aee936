package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// Cluster is what operators see of the cluster and order it to do. An order
// that cannot be carried out is a [Refusal], and nothing has changed then.
type Cluster interface {
	Status() ClusterStatus
	// Locate returns where a user belongs, whether there is such a user or not.
	Locate(user string) (ClusterAssignment, error)
	// Assign gives a user a home, or with no primary node lets the mode decide.
	Assign(ctx context.Context, user, primary, secondary string) (ClusterAssignment, error)
	// Order is one of ClusterOrders, about a node.
	Order(ctx context.Context, order, node string) error
}

// ClusterOrders are what a node can be told.
var ClusterOrders = []string{"failover", "fallback", "recover", "drain"}

// Refusal is an error in words for the operator: why not, and what to do.
type Refusal string

// Error implements error.
func (r Refusal) Error() string { return string(r) }

// ClusterStatus is the cluster as one node sees it.
type ClusterStatus struct {
	Node  string        `json:"node"` // the one that tells
	Epoch uint64        `json:"epoch"`
	Mode  string        `json:"mode"`
	Nodes []ClusterNode `json:"nodes"`
}

// ClusterNode is how a node stands.
type ClusterNode struct {
	Node      string    `json:"node"`
	Pair      string    `json:"pair"` // n1+n2; "" = in none
	State     string    `json:"state"`
	Reason    string    `json:"reason"`
	Since     time.Time `json:"since"`
	Member    string    `json:"member"` // alive, doubtful, dead, left, never seen
	Drained   bool      `json:"drained"`
	Sessions  uint64    `json:"sessions"`
	Version   string    `json:"version"`
	PublicURL string    `json:"public_url"`
	Gossip    string    `json:"gossip"` // address
}

// ClusterAssignment is where a user belongs.
type ClusterAssignment struct {
	User      string `json:"user"`
	Primary   string `json:"primary"`
	Secondary string `json:"secondary"`
	Explicit  bool   `json:"explicit"` // by an administrator's word
	Epoch     uint64 `json:"epoch"`
	Warning   string `json:"warning,omitempty"`
}

// clusterRequest is the body of each POST.
type clusterRequest struct {
	User      string `json:"user"`
	Primary   string `json:"primary"`
	Secondary string `json:"secondary"`
	Node      string `json:"node"`
}

const maxRequest = 64 << 10

func (s *Server) handleCluster() {
	s.mux.HandleFunc("GET /cluster", s.cluster(func(c Cluster, _ *http.Request, _ clusterRequest) (any, error) {
		return c.Status(), nil
	}))
	s.mux.HandleFunc("GET /cluster/users/{user}", s.cluster(func(c Cluster, r *http.Request, _ clusterRequest) (any, error) {
		return c.Locate(r.PathValue("user"))
	}))
	s.mux.HandleFunc("POST /cluster/assign", s.cluster(func(c Cluster, r *http.Request, in clusterRequest) (any, error) {
		return c.Assign(r.Context(), in.User, in.Primary, in.Secondary)
	}))
	for _, order := range ClusterOrders {
		s.mux.HandleFunc("POST /cluster/"+order, s.cluster(func(c Cluster, r *http.Request, in clusterRequest) (any, error) {
			if err := c.Order(r.Context(), order, in.Node); err != nil {
				return nil, err
			}
			s.cfg.Log.InfoContext(r.Context(), "cluster order", "order", order, "node", in.Node, "remote", r.RemoteAddr)
			return c.Status(), nil
		}))
	}
}

// cluster reads the body of a POST and writes what act returns.
func (s *Server) cluster(act func(Cluster, *http.Request, clusterRequest) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in clusterRequest
		if s.cfg.Cluster == nil {
			answer(w, http.StatusNotFound, clusterError{"this node stands alone: give it a name in cluster.node"})
			return
		}
		if r.Method == http.MethodPost && !readOrder(w, r, &in) {
			return
		}
		out, err := act(s.cfg.Cluster, r, in)
		if refusal, ok := errors.AsType[Refusal](err); ok {
			answer(w, http.StatusConflict, clusterError{refusal.Error()})
			return
		}
		if err != nil {
			s.cfg.Log.ErrorContext(r.Context(), "cluster order", "path", r.URL.Path, "err", err)
			answer(w, http.StatusInternalServerError, clusterError{err.Error()})
			return
		}
		answer(w, http.StatusOK, out)
	}
}

type clusterError struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the client may be gone
}
