! CCDM from Fortran 2008 with files and the program curl: nothing to link. Copy this file.
!
! Keep one member per column: x(dx, n). Fortran stores by columns, so these bytes are the
! n by dx array, stored by rows, that the service means: nothing is transposed, and the
! npy header says 'fortran_order': False, 'shape': (n, dx).
module ccdm_files
  use, intrinsic :: iso_fortran_env, only: error_unit, real64
  implicit none
  private
  public :: ccdm_open, ccdm_analysis, ccdm_cycle, ccdm_close

  character(:), allocatable :: root, session, folder

contains

  ! Begin a session. settings is the body of POST /v1/sessions; files go to work.
  subroutine ccdm_open(url, settings, work)
    character(*), intent(in) :: url, settings, work
    integer :: unit
    root = url
    folder = work
    open (newunit=unit, file=folder // '/settings.json', status='replace')
    write (unit, '(a)') settings
    close (unit)
    call curl('POST', '/v1/sessions', '-H "Content-Type: application/json" --data @' // &
              folder // '/settings.json')
    session = head('location')
    if (session == '') error stop 'ccdm: no session in the answer (Location)'
  end subroutine

  ! Samples x(dx, n) of a finished cycle; cycle 0 is the initial ensemble.
  subroutine ccdm_analysis(cycle, x)
    integer, intent(in) :: cycle
    real(real64), intent(out) :: x(:, :)
    call curl('GET', session // '/cycles/' // text(cycle) // '/analysis', &
              '-H "Accept: application/octet-stream"')
    call read_reply(x)
  end subroutine

  ! Assimilate cycle k: x(dx, n) forecast in, analysis out; y(dy, n); NaN in the
  ! observation where nothing came in. The same cycle may be sent again.
  subroutine ccdm_cycle(k, x, y, observation)
    integer, intent(in) :: k
    real(real64), intent(inout) :: x(:, :)
    real(real64), intent(in) :: y(:, :), observation(:)
    call write_npy('states', shape(x), reshape(x, [size(x)]))
    call write_npy('simulated', shape(y), reshape(y, [size(y)]))
    call write_npy('observation', shape(observation), observation)
    call curl('PUT', session // '/cycles/' // text(k), &
              '-H "Accept: application/octet-stream"' // &
              ' -F forecast_states=@' // folder // '/states.npy' // &
              ' -F simulated_measurements=@' // folder // '/simulated.npy' // &
              ' -F observation=@' // folder // '/observation.npy')
    call read_reply(x)
  end subroutine

  ! Have the service forget the session, which it keeps otherwise.
  subroutine ccdm_close()
    call curl('DELETE', session, '')
  end subroutine

  ! An npy file: a header of 128 bytes, then the numbers (little-endian).
  subroutine write_npy(name, sizes, values)
    character(*), intent(in) :: name
    integer, intent(in) :: sizes(:)
    real(real64), intent(in) :: values(:)
    character(117) :: header
    integer :: unit
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (" // &
             text(sizes(size(sizes))) // ','
    if (size(sizes) == 2) header = trim(header) // ' ' // text(sizes(1))
    header = trim(header) // '), }'
    open (newunit=unit, file=folder // '/' // name // '.npy', access='stream', &
          form='unformatted', status='replace')
    write (unit) char(147) // 'NUMPY' // char(1) // char(0) // char(118) // char(0)
    write (unit) header // char(10), values
    close (unit)
  end subroutine

  subroutine read_reply(x)
    real(real64), intent(out) :: x(:, :)
    integer :: unit
    open (newunit=unit, file=folder // '/reply', access='stream', form='unformatted', &
          status='old')
    read (unit) x
    close (unit)
  end subroutine

  ! Run curl, again for half a minute while the service is away: no whole answer came, by
  ! curl's exit status (--retry-connrefused knows 7 alone), or the answer says later. Stop
  ! at a refusal, and show it.
  subroutine curl(method, path, arguments)
    character(*), intent(in) :: method, path, arguments
    character(:), allocatable :: pause, status
    integer :: attempt, code
    do attempt = 1, 15
      call execute_command_line('rm -f ' // folder // '/reply; curl -sS -D - ' // &
        '-w "status: %{http_code}" ${CCDM_API_KEY:+-H "X-API-Key: $CCDM_API_KEY"} -X ' // &
        method // ' -o ' // folder // '/reply ' // arguments // ' ' // root // path // &
        ' >' // folder // '/heads 2>' // folder // '/trouble', exitstat=code)
      status = head('status')
      pause = head('retry-after')
      if (code == 0 .and. index(status, '2') == 1) return
      if (code == 0) then
        if (all(status /= ['502', '503', '504', '429'])) exit
        if (status == '429' .and. pause == '') exit
      else if (all(code /= [6, 7, 18, 28, 35, 52, 55, 56, 92])) then
        exit
      end if
      if (all(len(pause) /= [1, 2]) .or. verify(pause, '0123456789') > 0) pause = '2'
      if (attempt < 15) call execute_command_line('sleep ' // pause)
    end do
    if (code /= 0) status = 'no answer from ' // root
    write (error_unit, '(6a)') 'ccdm: ', method, ' ', path, ': ', status
    call execute_command_line('cd ' // folder // '; cat ' // &
                              trim(merge('reply  ', 'trouble', code == 0)) // ' >&2')
    stop 1
  end subroutine

  ! A header of the last answer, by its name in small letters; empty where there is none.
  function head(name)
    character(*), intent(in) :: name
    character(:), allocatable :: head
    character(500) :: line
    integer :: unit, status, i
    head = ''
    open (newunit=unit, file=folder // '/heads', status='old', iostat=status)
    if (status /= 0) return
    do
      read (unit, '(a)', iostat=status) line
      if (status /= 0) exit
      if (scan(line, char(13)) > 0) line = line(:scan(line, char(13)) - 1)
      do i = 1, len(name)
        if (line(i:i) >= 'A' .and. line(i:i) <= 'Z') line(i:i) = char(ichar(line(i:i)) + 32)
      end do
      if (index(line, name // ':') == 1) head = trim(adjustl(line(len(name) + 2:)))
    end do
    close (unit)
  end function

  pure function text(number)
    integer, intent(in) :: number
    character(:), allocatable :: text
    character(12) :: digits
    write (digits, '(i0)') number
    text = trim(digits)
  end function

end module
