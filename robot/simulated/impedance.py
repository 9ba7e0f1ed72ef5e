"""Impedance: joint torques that make the hand a spring and a damper about a target pose; on the way home, each joint.

    tau = J^T (K clip(e) - D J qd) + N (k_n (q_n - q) - d_n qd) + bias

e is the target's pose seen from the hand: metres, and radians as a rotation vector, both in the base's axes. D damps
critically the mass that the hand has where the arm stands; N lets through only what does not move the hand; bias is
gravity and Coriolis. No simulator and no robot in here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HEAVIEST = 20.0  # kg (or kg m^2): what a direction that the arm can hardly move in counts for when it is damped
SINGULAR = 2e-5  # 1/kg: added to the hand's mobility; at 2e-4 the posture holds the arm back near its full reach
JOINT_RATE = 10.0  # rad/s: a joint on its own follows its reference as a critically damped spring of this frequency
FURTHEST_JOINT = 0.3  # radians: a reference further off pulls no harder than one here


@dataclass(frozen=True)
class Gains:
    """What the arm feels like. Stiffness of a real Franka under impedance control: 150 to 750 N/m, 10 to 50 N m/rad.

    Raises ValueError for what is not positive."""

    stiffness: float = 400.0  # N/m
    turn_stiffness: float = 30.0  # N m/rad
    damping_ratio: float = 1.0
    posture_stiffness: float = 10.0  # N m/rad, only in the null space
    furthest: float = 0.1  # metres: a target further off pulls no harder than one here
    furthest_turn: float = 0.5  # radians

    def __post_init__(self) -> None:
        if not all(value > 0 for value in vars(self).values()):
            raise ValueError(f"gains must be positive, got {self}")


def pose_error(position: NDArray, rotation: NDArray, target: NDArray, target_rotation: NDArray) -> NDArray[np.float64]:
    """[6]: the metres, then the rotation vector (radians), that lead from a pose to its target; rotations [3, 3]."""
    return np.concatenate([target - position, rotation_vector(target_rotation @ rotation.T)])


def rotation_vector(r: NDArray) -> NDArray[np.float64]:
    """The rotation vector [3], in radians, of a rotation matrix [3, 3].

    Half turns, whose axis its odd part does not show, included. A tenth of scipy's time, a thousand times a second.
    """
    axis = 0.5 * np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    sine, cosine = float(np.sqrt(axis @ axis)), 0.5 * (r[0, 0] + r[1, 1] + r[2, 2] - 1.0)
    if sine > 1e-6:
        return axis * (np.arctan2(sine, cosine) / sine)
    if cosine > 0:
        return axis
    column = 0.5 * (r + np.eye(3))[:, int(np.argmax(np.diag(r)))]
    return column * (np.pi / np.sqrt(column @ column))


def clipped(error: NDArray, gains: Gains) -> NDArray[np.float64]:
    """The error [6], its two halves no longer than `gains` allows, their directions kept."""
    out = error.copy()
    for half, most in ((out[:3], gains.furthest), (out[3:], gains.furthest_turn)):
        length = float(np.sqrt(half @ half))
        if length > most:
            half *= most / length
    return out


def hand_torques(
    error: NDArray,
    jacobian: NDArray,
    inertia: NDArray,
    q: NDArray,
    qd: NDArray,
    posture: NDArray,
    bias: NDArray,
    gains: Gains,
) -> NDArray[np.float64]:
    """Joint torques [7]. error [6], jacobian [6, 7] and inertia [7, 7] of the arm as it stands; not yet limited."""
    eased = np.linalg.solve(inertia, jacobian.T)  # [7, 6]: joint accelerations by unit wrenches
    mobility = jacobian @ eased
    mobility.flat[::7] += SINGULAR
    root = np.array([gains.stiffness] * 3 + [gains.turn_stiffness] * 3) ** 0.5
    values, vectors = np.linalg.eigh(mobility)
    mass_root = (vectors / np.sqrt(np.maximum(values, 1 / HEAVIEST))) @ vectors.T  # of the hand's mass [6, 6]
    damping = gains.damping_ratio * (mass_root * root + root[:, None] * mass_root)  # A K^1/2 + K^1/2 A
    wrench = root**2 * clipped(error, gains) - damping @ (jacobian @ qd)
    pull = gains.posture_stiffness * (posture - q) - 2.0 * gains.posture_stiffness**0.5 * qd
    blocked = np.linalg.solve(mobility, eased.T @ pull)  # the wrench by which that pull would move the hand
    return jacobian.T @ (wrench - blocked) + pull + bias


def joint_torques(reference: NDArray, inertia: NDArray, q: NDArray, qd: NDArray, bias: NDArray) -> NDArray[np.float64]:
    """Joint torques [7] that draw the joints [7] to a reference [7]; not yet limited."""
    error = np.clip(reference - q, -FURTHEST_JOINT, FURTHEST_JOINT)
    return inertia @ (JOINT_RATE**2 * error - 2 * JOINT_RATE * qd) + bias
